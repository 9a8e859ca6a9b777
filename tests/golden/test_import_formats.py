"""Every foreign format, read from files as their tools write them: metric, steps, values, signals and notes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from crestfall.analysis.importers.load import load

LOGS = Path(__file__).parent / "logs"


@dataclass(frozen=True)
class Expected:
    metric: str
    points: dict[int, float]
    signals: frozenset[str]
    says: tuple[str, ...] = ()


FORMATS = {
    "trainer_state.json": Expected(
        "eval_pass@1",
        {1: 0.2, 2: 0.3, 3: 0.4, 4: 0.3, 5: 0.1},
        frozenset({"reward", "grad_norm", "truncated", "zero_variance_groups"}),
        ("not the training reward reward", "also logged: eval_reward"),
    ),
    "trl_console.log": Expected(
        "reward",
        {1: 0.25, 2: 0.375, 3: 0.5, 4: 0.625},
        frozenset({"kl_base", "length", "grad_norm", "reward_std", "learning_rate"}),
        ("eval_reward has 1 points only", "training rows are counted", "1 values that are not finite"),
    ),
    "verl_console.log": Expected(
        "critic/score/mean",
        {1: 0.3, 2: -0.1, 3: 0.5},
        frozenset({"entropy", "grad_norm", "length", "truncated", "learning_rate"}),
        ("val-core/openai/gsm8k/reward/mean@1 has 1 points only",),
    ),
    "verl.jsonl": Expected(
        "critic/score/mean",
        {1: 0.25, 2: 0.5, 3: 0.75},
        frozenset({"entropy", "mismatch"}),
        ("1 values that are not finite",),
    ),
    "tinker/metrics.jsonl": Expected(
        "env/all/reward/total",
        {0: 0.2, 1: 0.4, 2: 0.6, 5: 0.7},
        frozenset({"entropy", "length", "kl_base", "step_seconds"}),
        ("1 restarts: 2 points", "1 gaps, the widest from step 2 to 5"),
    ),
    "prime/metrics.jsonl": Expected(
        "eval/math500/avg@4",
        {0: 0.3, 1: 0.35, 2: 0.4, 3: 0.45, 4: 0.4},
        frozenset({"reward", "entropy", "length", "truncated", "mismatch", "grad_norm"}),
        ("an evaluation, not the training reward reward/all/mean",),
    ),
    "wandb.jsonl": Expected("train/reward", {10: 0.25, 20: 0.5, 30: 0.75}, frozenset({"kl_base"})),
    "tensorboard.csv": Expected("value", {0: 0.25, 10: 0.5, 20: 0.375}, frozenset(), ("this one has 3 points",)),
    "plain.csv": Expected("value", {1: 0.25, 2: 0.75, 3: 0.5}, frozenset(), ("the only number",)),
    "nemo.json": Expected("train/reward", {1: 0.25, 2: 0.5, 3: 0.75}, frozenset({"grad_norm"})),
    "table.ipynb": Expected("reward", {10: 0.25, 20: 0.5, 30: 0.375}, frozenset()),
    "mlruns": Expected(
        "eval/accuracy", {0: 0.25, 10: 0.5, 20: 0.375, 30: 0.25, 40: 0.125}, frozenset({"kl_base"}), ("MLflow",)
    ),
    "rollout_data": Expected("score", {1: 0.25, 2: 0.5, 10: 0.75}, frozenset(), ("3 files", "1 gaps")),
    "run-x/gsm8k": Expected("gsm8k primary_score", {100: 0.25, 200: 0.5, 1000: 0.375}, frozenset(), ("1 gaps",)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_format(name: str) -> None:
    expected = FORMATS[name]
    (t,) = load([LOGS / name])
    assert t.metric == expected.metric
    assert dict(zip(t.steps_S.tolist(), t.values_S.tolist(), strict=True)) == expected.points
    assert t.signals.keys() == expected.signals
    said = " ".join((t.why, *t.notes))
    for words in expected.says:
        assert words in said


def test_a_column_per_run_in_an_export() -> None:
    a, b = load([LOGS / "wandb.csv"])
    assert (a.name, a.metric, a.values_S.tolist()) == ("run-a", "eval/accuracy", [0.25, 0.5, 0.375])
    assert (b.name, b.steps_S.tolist(), b.values_S.tolist()) == ("run-b", [10, 30], [0.5, 0.25])
    assert "may be a sample" in b.notes[0]


def test_known_numbers_of_samples_become_standard_errors() -> None:
    (plain,), (suite,) = load([LOGS / "plain.csv"]), load([LOGS / "run-x" / "gsm8k" / "step_*.metrics.json"])
    assert plain.standard_errors_S is not None
    assert plain.standard_errors_S[0] == pytest.approx((120.5 * 360.5 / 481**2 / 480) ** 0.5)
    assert suite.standard_errors_S is not None
    assert suite.standard_errors_S[1] == pytest.approx((0.5 * 0.5 / 500) ** 0.5)


def test_a_metric_as_told() -> None:
    (t,) = load([LOGS / "trainer_state.json"], metric="eval_reward")
    assert (t.metric, t.values_S[0]) == ("eval_reward", 0.9)
    assert "as told" in t.why
    assert "eval_pass@1" in t.others
