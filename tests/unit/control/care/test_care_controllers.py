"""What CARE v1, v2 and their ablations plan, on campaigns made up by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crestfall.control.care.base import Plan
from crestfall.control.care.controller import Care, CareV1, CareV2, GateOnly, MemoryOnly
from crestfall.control.care.gate import Gate
from crestfall.control.care.memory import Recollection
from crestfall.core.build import component
from crestfall.core.errors import ConfigError
from crestfall.core.types import CampaignSummary


def campaign(ratio: float, delta: float | None = None, steps: int = 20, start: float = 0.3) -> CampaignSummary:
    """Peak 0.5, end at `ratio` of it; handed on is the end unless `delta` says otherwise."""
    end = 0.5 * ratio
    after = end if delta is None else start + delta
    return CampaignSummary(
        0,
        steps,
        start,
        0.5,
        5,
        end,
        steps,
        {"pass_at_1": start, "diversity": 0.5},
        {"pass_at_1": after, "diversity": 0.5},
    )


def plans(controller: Any, campaigns: Sequence[CampaignSummary], budget: int = 20) -> list[Plan]:
    """One plan for the campaign before, between and after these."""
    state, out = controller.init(), []
    history = [replace(c, campaign=i) for i, c in enumerate(campaigns)]
    for done in range(len(history) + 1):
        state, plan = controller.plan(json.loads(json.dumps(state)), budget, history[:done])
        out.append(plan)
    return out


def remembered(tmp_path: Path, delta: float, times: int = 4) -> str:
    """memory.json of a chain whose campaigns all did `delta`."""
    controller, history = CareV2(), [campaign(1.0, delta)] * times
    path = tmp_path / "memory.json"
    path.write_text(json.dumps(controller.remember(controller.init(), history)))
    return str(path)


def test_v2_pilots_after_a_fall_and_goes_full_after_none() -> None:
    found = plans(CareV2(), [campaign(0.9), campaign(0.4), campaign(0.5)])
    assert [p.budget for p in found] == [20, 20, 10, 20]
    assert [p.verdict for p in found] == ["reuse", "reuse", "pilot", "reuse"]
    assert {p.learning_rate_scale for p in found} == {1.0}
    assert not any(p.roll_back for p in found)


def test_v2_can_pilot_first_and_reject() -> None:
    assert plans(CareV2(gate=Gate(first="pilot")), [])[0].budget == 10
    rejected = plans(CareV2(gate=Gate(form="four_way")), [campaign(0.1)])[-1]
    assert (rejected.verdict, rejected.budget, rejected.roll_back) == ("reject", 0, True)


def test_v1_halves_the_learning_rate_for_good() -> None:
    found = plans(CareV1(belief=None), [campaign(0.4), campaign(0.9), campaign(0.4), campaign(0.4)])
    assert [p.learning_rate_scale for p in found] == [1.0, 0.5, 0.5, 0.25, 0.125]
    assert [p.verdict for p in found] == ["reuse", "halve", "reuse", "halve", "halve"]
    assert {p.budget for p in found} == {20}


@pytest.mark.parametrize("controller", [CareV1(), CareV2()])
def test_a_surprise_tightens_the_gate_for_the_same_campaign(controller: Any) -> None:
    """Gains of 0.1 are foreseen to go on; then a campaign that ends at 0.55 of its peak loses 0.3 in one world."""
    history = [campaign(1.0, 0.1)] * 3
    calm, shocked = (
        plans(controller, [*history, campaign(0.55, 0.1)]),
        plans(controller, [*history, campaign(0.55, -0.3)]),
    )
    assert (calm[-1].evidence["revised"], calm[-1].evidence["threshold"], calm[-1].verdict) == (False, 0.5, "reuse")
    assert (shocked[-1].evidence["revised"], shocked[-1].evidence["threshold"]) == (True, 0.6)
    assert shocked[-1].verdict != "reuse"
    assert shocked[-1].evidence["p_value"] < 0.05 <= calm[-1].evidence["p_value"]


def test_gate_only_has_no_beliefs() -> None:
    history = [campaign(1.0, 0.1)] * 3 + [campaign(0.55, -0.3)]
    found = plans(GateOnly(), history)
    assert [p.budget for p in found] == [20] * 5
    assert found[-1].evidence == {"ratio": 0.55, "threshold": 0.5}
    assert GateOnly().remember({}, history) is None


def test_memory_only_tries_goes_on_and_holds_back() -> None:
    found = plans(MemoryOnly(), [campaign(0.1, 0.2), campaign(0.1, 0.2), campaign(1.0, -0.3), campaign(1.0, -0.3)])
    assert (found[0].verdict, found[0].budget) == ("pilot", 10)  # knows nothing
    assert [p.verdict for p in found[1:3]] == ["reuse", "reuse"]  # whatever end/peak is
    assert found[4].verdict in ("pilot", "reject")
    assert "threshold" not in found[-1].evidence


def test_memory_only_tries_again_after_a_skip() -> None:
    losses = [campaign(1.0, -0.4)] * 4
    found = plans(MemoryOnly(), [*losses, campaign(1.0, 0.0, steps=0)])
    assert [p.verdict for p in found[-2:]] == ["reject", "pilot"]
    assert found[-1].budget == 10


def test_a_skipped_campaign_teaches_nothing() -> None:
    controller = CareV2()
    memory = controller.remember(controller.init(), [campaign(1.0, 0.1), campaign(1.0, 0.0, steps=0)])
    assert len(memory["entries"]) == 1


def test_the_last_campaign_is_remembered_too() -> None:
    controller, history = CareV2(), [campaign(0.9), campaign(0.4)]
    state, _ = controller.plan(controller.init(), 20, [])
    state, _ = controller.plan(state, 20, history[:1])
    assert len(controller.remember(state, history)["entries"]) == 2
    # However it was told: campaign by campaign, or all at once.
    assert controller.remember(state, history) == controller.remember(controller.init(), history)


def test_the_context_is_the_campaigns_own() -> None:
    controller = CareV2(memory=Recollection(log10_parameters=9.5))
    history = [campaign(0.4), replace(campaign(0.9, start=0.25), campaign=1)]
    entries = controller.remember(controller.init(), history)["entries"]
    assert entries[0]["context"] == {"positive_rate": 0.3, "ratio": 1.0, "campaign": 0, "log10_parameters": 9.5}
    assert entries[1]["context"] == {"positive_rate": 0.25, "ratio": 0.4, "campaign": 1, "log10_parameters": 9.5}
    assert entries[0]["delta"]["pass_at_1"] == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("care_v1", ("reuse", 20, 1.0), ("halve", 20, 0.5)),
        ("care_v2", ("reuse", 20, 1.0), ("pilot", 10, 1.0)),
        ("memory_only", ("reuse", 20, 1.0), ("reject", 0, 1.0)),
    ],
)
def test_a_memory_that_is_carried_over_changes_the_first_decision(
    tmp_path: Path, name: str, good: tuple[str, int, float], bad: tuple[str, int, float]
) -> None:
    for delta, expected in ((0.2, good), (-0.4, bad)):
        controller = component("care", {"name": name, "memory": {"file": remembered(tmp_path, delta)}})
        first = plans(controller, [])[0]
        assert (first.verdict, first.budget, first.learning_rate_scale) == expected
        assert "memory expects" in first.reason
        assert first.evidence["entries"] == 4
        stranger = component(
            "care", {"name": name, "memory": {"file": remembered(tmp_path, delta), "strategy": "another"}}
        )
        assert plans(stranger, [])[0].verdict == plans(component("care", {"name": name}), [])[0].verdict


def test_a_carried_memory_goes_on_growing(tmp_path: Path) -> None:
    controller = CareV2(memory=Recollection(file=remembered(tmp_path, 0.2)))
    assert len(controller.remember(controller.init(), [campaign(0.9)])["entries"]) == 5


def test_every_plan_has_a_verdict_a_reason_and_evidence() -> None:
    for controller in (CareV1(), CareV2(), MemoryOnly(), GateOnly()):
        for number, plan in enumerate(plans(controller, [campaign(0.4), campaign(0.9)])):
            assert plan.verdict
            assert plan.reason
            assert number == 0 or plan.evidence


def test_parts_can_be_left_out_but_not_all() -> None:
    named = component("care", {"name": "care", "memory": None, "belief": None})
    assert plans(named, [campaign(0.4)]) == plans(GateOnly(), [campaign(0.4)])
    assert plans(Care(gate=None, belief=None), [campaign(0.4)]) == plans(MemoryOnly(), [campaign(0.4)])
    with pytest.raises(ConfigError, match="there is neither"):
        Care(gate=None, memory=None, belief=None)
    with pytest.raises(ConfigError, match="belief: needs"):
        Care(memory=None)
