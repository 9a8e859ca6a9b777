"""The two engines on the tiny policy: the same draws, the same advantages, the same gradient, the same step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("trl")
torch = pytest.importorskip("torch")

from small_engines import both, train  # noqa: E402

from crestfall.core.registry import components  # noqa: E402
from crestfall.testbed.config import RunConfig  # noqa: E402
from crestfall.testbed.engines.native import NativeEngine  # noqa: E402
from crestfall.testbed.engines.trl.engine import TrlEngine  # noqa: E402
from crestfall.testbed.policies.tiny.convert import to_transformers  # noqa: E402

pytestmark = [pytest.mark.trl, pytest.mark.filterwarnings("ignore:.*:FutureWarning")]


@pytest.fixture(scope="module")
def problems() -> Any:
    return train()


def as_transformers(named: dict[str, Any]) -> dict[str, Any]:
    """What belongs to the tiny policy's parameters, under the names of the converted model's."""
    policy = RunConfig().policy.load()
    with torch.no_grad():
        for name, parameter in policy.named_parameters().items():
            parameter.copy_(named[name])
    return {name: p.detach() for name, p in to_transformers(policy).named_parameters()}


def moments(engine: Any, moment: str) -> dict[str, Any]:
    ending = f".{moment}"
    named = engine.snapshot()["optimizer"].items()
    return {key.removesuffix(ending): value for key, value in named if key.endswith(ending)}


def assert_same_gradient(native: NativeEngine, trl: TrlEngine) -> None:
    """After one update Adam's first moment is a tenth of the gradient."""
    ours, theirs = as_transformers(moments(native, "exp_avg")), moments(trl, "exp_avg")
    assert ours.keys() == theirs.keys()
    scale = max(float(g.abs().max()) for g in ours.values())
    assert scale > 0
    for name in ours:
        assert float((ours[name] - theirs[name]).abs().max()) < 2e-5 * scale, name


def test_both_draw_and_count_the_same(problems: Any) -> None:
    native, trl = both()
    ours, theirs = (engine.evaluate(problems, 6, ("evaluate", 0), show=2) for engine in (native, trl))
    assert ours == theirs
    ours, theirs = (engine.rollout(problems, 0, 1) for engine in (native, trl))
    assert ours.completions_PG == theirs.completions_PG
    assert ours.grades_PG == theirs.grades_PG
    for a, b in zip(ours.handle.logprobs_N, theirs.handle.logprobs_N, strict=True):
        assert np.allclose(a, b, atol=1e-4)


RULES = [
    ("reinforce", {"normalization": "sequence_sum"}),
    ("reinforce", {"normalization": "constant"}),
    ("reinforce", {"normalization": "token_mean", "baseline": "group_mean"}),
    ("reinforce", {"normalization": "sequence_mean", "baseline": "none", "logprob_temperature": "one"}),
    ("rloo", {}),
    ("grpo", {}),
    ("dr_grpo", {}),
    ("dapo", {}),
]


@pytest.mark.parametrize(("rule", "options"), [case for case in RULES if case[0] in components("update")])
def test_the_same_frozen_rollouts_give_the_same_gradient(problems: Any, rule: str, options: dict[str, Any]) -> None:
    native, trl = both(rule, **options)
    frozen = native.rollout(problems, 0, 1)
    ours, theirs = native.update(frozen), trl.update(frozen)
    assert_same_gradient(native, trl)
    for name in theirs:
        assert theirs[name] == pytest.approx(ours[name], rel=1e-4), name
    own = {"kl_base", "kl_start", "baseline_drift", "update_norm", "mismatch", "off_policy_kl"}
    assert {"kl_base", "mismatch"} <= set(ours) - set(theirs) <= own


@pytest.mark.parametrize("rule", [rule for rule in ("reinforce", "grpo") if rule in components("update")])
def test_several_updates_of_a_batch_stay_together(problems: Any, rule: str) -> None:
    native, trl = both(rule, minibatches=2, epochs=2, clip_norm=0.5, warmup_updates=3, weight_decay=0.1)
    before = {name: p.detach().clone() for name, p in trl.parameters.items()}
    frozen = native.rollout(problems, 0, 1)
    ours, theirs = native.update(frozen), trl.update(frozen)
    assert theirs["learning_rate"] == ours["learning_rate"] == 1e-3
    assert theirs["grad_norm"] == pytest.approx(ours["grad_norm"], rel=1e-3)
    # Not weight by weight: Adam takes full steps even where a gradient is nothing but rounding.
    there = as_transformers(native.weights())
    moved = sum(float((there[name] - before[name]).square().sum()) for name in there)
    apart = sum(float((there[name] - p.detach()).square().sum()) for name, p in trl.parameters.items())
    assert 0 < apart < 1e-4 * moved
