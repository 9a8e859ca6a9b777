from __future__ import annotations

import pytest

from crestfall.control.basic import FixedStop, NoControl
from crestfall.control.early_stop import EarlyStop
from crestfall.core.errors import ConfigError
from crestfall.core.types import CampaignSummary, Decision, Record


def decisions(controller: EarlyStop, values: list[float]) -> list[Decision]:
    state, out = controller.init(), []
    for step, value in enumerate(values):
        state, decision = controller.decide(state, Record(step, value))
        out.append(decision)
        if decision.action == "stop":
            break
    return out


def test_stops_three_steps_past_the_peak_and_hands_it_on() -> None:
    *before, last = decisions(EarlyStop(), [0.2, 0.3, 0.5, 0.4, 0.4, 0.4, 0.9])
    assert [d.action for d in before] == ["continue"] * 5
    assert (last.action, last.target_step) == ("stop", 2)
    assert last.evidence == {"value": 0.4, "peak": 0.5, "peak_step": 2, "waited": 3}


def test_the_untrained_policy_can_be_the_peak() -> None:
    assert decisions(EarlyStop(), [0.5, 0.4, 0.3, 0.2])[-1].target_step == 0


def test_of_equal_scores_the_earliest_is_the_peak() -> None:
    last = decisions(EarlyStop(), [0.2, 0.5, 0.5, 0.5, 0.5])[-1]
    assert (last.action, last.target_step) == ("stop", 1)


def test_go_on_rolls_back_and_the_peak_stays_until_it_is_beaten() -> None:
    out = decisions(EarlyStop(then="go_on"), [0.2, 0.5, 0.4, 0.4, 0.3, 0.4, 0.5, 0.3, 0.6, 0.1, 0.1, 0.1])
    assert {step: d.target_step for step, d in enumerate(out) if d.action == "rollback"} == {4: 1, 7: 1, 11: 8}
    assert all(d.action != "stop" for d in out)


def test_reading_budget_never_stops_and_plans_from_the_peak() -> None:
    controller = EarlyStop(reading="budget")
    assert {d.action for d in decisions(controller, [0.5] + [0.1] * 20)} == {"continue"}
    summary = CampaignSummary(0, 20, 0.2, 0.5, 4, 0.1, 4)
    assert controller.budget(20, []) == 20
    assert controller.budget(20, [summary]) == 7
    assert EarlyStop(reading="budget", margin=1).budget(20, [CampaignSummary(0, 20, 0.5, 0.5, 0, 0.1, 0)]) == 3
    assert EarlyStop().budget(20, [summary]) == 20


def test_the_end_of_the_budget_hands_on_the_peak() -> None:
    controller = EarlyStop()
    state = controller.init()
    for step, value in enumerate([0.2, 0.6, 0.5]):
        state, _ = controller.decide(state, Record(step, value))
    assert controller.last(state, 2).target_step == 1
    assert controller.keep(state) == {1}


def test_going_on_needs_patience() -> None:
    with pytest.raises(ConfigError, match="reading: patience"):
        EarlyStop(reading="budget", then="go_on")


def test_fixed_stop() -> None:
    controller = FixedStop(step=2)
    actions = [controller.decide({}, Record(step, 0.1))[1] for step in range(3)]
    assert [(d.action, d.target_step) for d in actions] == [("continue", None)] * 2 + [("stop", 2)]
    assert controller.budget(20, []) == 2
    assert controller.budget(1, []) == 1


def test_no_control_hands_on_the_last_step() -> None:
    controller = NoControl()
    assert controller.decide({}, Record(5, 0.0))[1].action == "continue"
    assert controller.last({}, 20) == Decision("stop", 20, "budget used up")
