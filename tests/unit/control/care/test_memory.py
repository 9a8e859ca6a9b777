from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crestfall.control.care.memory import Context, Entry, Memory, Recollection, read_memory
from crestfall.core.errors import InputError

HERE = Context(0.3, 0.8, 1)


def filled(deltas: list[float], recollection: Recollection | None = None) -> Memory:
    memory = Memory()
    for i, delta in enumerate(deltas):
        known = {"pass_at_1": delta, "diversity": -0.1}
        memory = (recollection or Recollection()).recorded(memory, Context(0.2 + 0.1 * i, 1.0, i), known)
    return memory


def test_it_learns_what_campaigns_do() -> None:
    forecast = Recollection().forecast(filled([0.2] * 8), HERE)
    assert forecast.mean["pass_at_1"] == pytest.approx(0.2, abs=0.05)
    assert forecast.mean["diversity"] == pytest.approx(-0.1, abs=0.03)
    assert (forecast.known, forecast.entries) == (("pass_at_1", "diversity"), 8)


def test_a_member_that_was_never_measured_is_the_priors() -> None:
    forecast = Recollection().forecast(filled([0.2] * 3), HERE)
    assert forecast.mean["hard_case_accuracy"] == 0
    x = HERE.features_F()
    assert forecast.variance["hard_case_accuracy"] == pytest.approx(0.1**2 + 0.1**2 * x @ x)


def test_confidence_grows_with_evidence_and_follows_its_formula() -> None:
    recollection = Recollection()
    forecasts = [recollection.forecast(filled([0.1] * n), HERE) for n in (0, 1, 4, 16)]
    confidences = [forecast.confidence for forecast in forecasts]
    assert confidences == sorted(confidences)
    assert 0 < confidences[0] < 0.3 < 0.45 < confidences[-1] < 0.5
    spread = np.mean([forecasts[2].variance[member] for member in ("pass_at_1", "diversity")])
    assert confidences[2] == pytest.approx(1 / (1 + spread / 0.1**2))


def test_strategies_are_kept_apart() -> None:
    memory = filled([-0.3] * 5, Recollection(strategy="grpo"))
    assert Recollection(strategy="grpo").forecast(memory, HERE).mean["pass_at_1"] < -0.2
    assert Recollection(strategy="reinforce").forecast(memory, HERE).entries == 0


def test_a_revision_halves_confidence_and_doubles_variance() -> None:
    recollection, memory = Recollection(), filled([0.1, 0.2])
    revised = memory.revised("train").revised("train")
    assert [e.confidence for e in revised.entries] == [e.confidence / 4 for e in memory.entries]
    before, after = recollection.forecast(memory, HERE), recollection.forecast(revised, HERE)
    assert after.mean == before.mean
    assert after.variance == pytest.approx({m: 4 * v for m, v in before.variance.items()})
    assert memory.revised("another").entries == memory.entries


def test_the_boundary_is_where_the_expected_change_changes_sign() -> None:
    """Low starts gain, high starts lose: +0.3 at 0, -0.3 at 0.6."""
    recollection, memory = Recollection(tau=10.0, sigma=0.05), Memory()
    for rate in (0.0, 0.2, 0.4, 0.6):
        memory = recollection.recorded(memory, Context(rate, 1.0, 0), {"pass_at_1": 0.3 - rate})
    assert memory.entries[-1].boundary == "harmful when positive_rate > 0.30"
    loses = filled([-0.2] * 4)
    assert loses.entries[-1].boundary == "harmful at any positive_rate"
    assert filled([0.2] * 4).entries[-1].boundary == "no harm at any positive_rate"


def test_the_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    memory = filled([0.1, -0.2, 0.3]).revised("train")
    path = tmp_path / "memory.json"
    path.write_text(json.dumps(memory.to_json()))
    assert read_memory(path) == memory
    assert Recollection(file=str(path)).recalled() == memory
    assert Memory.from_json(json.loads(json.dumps(memory.to_json()))) == memory


def test_a_person_can_write_one(tmp_path: Path) -> None:
    entry = {
        "strategy": "train",
        "context": {"positive_rate": 0.2, "ratio": 1, "campaign": 0},
        "delta": {"pass_at_1": -0.3},
        "boundary": "seen by eye",
        "confidence": 0.5,
    }
    path = tmp_path / "memory.json"
    path.write_text(json.dumps({"format": "crestfall capability-effect memory", "version": 1, "entries": [entry]}))
    assert read_memory(path).entries == (Entry("train", Context(0.2, 1, 0), {"pass_at_1": -0.3}, "seen by eye", 0.5),)


def broken(change: dict[str, Any]) -> str:
    return json.dumps(filled([0.1]).to_json() | change)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (json.dumps(filled([0.1]).to_json())[:-40], "cannot be read"),
        ("", "cannot be read"),
        ("[1, 2]", "not a capability-effect memory"),
        (json.dumps({"entries": []}), "not a capability-effect memory"),
        (broken({"version": 2}), "not a capability-effect memory of version 1"),
        (broken({"entries": [{"strategy": "train"}]}), "entries.0.context"),
        (broken({"entries": 7}), "entries"),
        (broken({"revisions": {"train": "often"}}), "revisions.train"),
        (
            json.dumps(filled([0.1]).to_json()).replace('"delta": {"pass_at_1": 0.1', '"delta": {"pass_at_1": NaN'),
            "delta",
        ),
        (json.dumps(filled([0.1]).to_json()).replace('"pass_at_1"', '"bleu"'), "delta"),
    ],
)
def test_a_torn_or_foreign_file_is_one_clear_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        read_memory(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "expected the memory.json of an earlier run" in str(raised.value)


def test_a_missing_or_binary_file_too(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("nowhere.json", "binary"):
        with pytest.raises(InputError, match="cannot be read"):
            read_memory(tmp_path / name)
