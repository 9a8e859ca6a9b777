"""What every registered controller promises (crestfall.control.base)."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crestfall.control.base import Controller
from crestfall.core.build import component, plain
from crestfall.core.registry import components
from crestfall.core.types import CampaignSummary, Decision, Record

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "early_stop": [{"reading": "budget"}, {"then": "go_on"}, {"margin": 1}],
    "fixed": [{"step": 0}],
}
CONTROLLERS = [
    component("control", {"name": name, **options})
    for name in components("control")
    for options in [{}, *VARIANTS.get(name, [])]
]
each = pytest.mark.parametrize("controller", CONTROLLERS, ids=lambda c: json.dumps(plain(c)))
curves = st.lists(st.integers(0, 96), min_size=2, max_size=24)


def records(passed: list[int]) -> list[Record]:
    """One record a step: 96 samples, 6 problems of 16."""
    out = []
    for step, count in enumerate(passed):
        counts = tuple(min(16, max(0, count - 16 * i)) for i in range(6))
        share = count / 96
        signals = {"reward": share, "entropy": 0.5 + 0.1 * step, "length": 20.0 + step}
        out.append(Record(step, share, 0.03, counts, 16, signals))
    return out


def live(controller: Controller, curve: list[Record]) -> list[tuple[Decision, frozenset[int]]]:
    """Decisions and kept steps as a campaign would see them, up to a stop."""
    state, out = controller.init(), []
    for record in curve:
        state, decision = controller.decide(state, record)
        out.append((decision, controller.keep(state)))
        if decision.action == "stop":
            break
    return out


@each
@settings(max_examples=30, deadline=None)
@given(passed=curves)
def test_state_survives_json(controller: Controller, passed: list[int]) -> None:
    state = controller.init()
    for record in records(passed):
        assert json.loads(json.dumps(state, allow_nan=False)) == state
        straight = controller.decide(state, record)
        through_json = controller.decide(json.loads(json.dumps(state)), record)
        assert straight == through_json
        state, decision = straight
        json.dumps(decision.to_json(), allow_nan=False)
    assert controller.keep(state) == controller.keep(json.loads(json.dumps(state)))
    assert controller.last(state, len(passed) - 1) == controller.last(json.loads(json.dumps(state)), len(passed) - 1)


@each
@settings(max_examples=30, deadline=None)
@given(passed=curves)
def test_decide_is_pure(controller: Controller, passed: list[int]) -> None:
    state = controller.init()
    for record in records(passed):
        before = copy.deepcopy(dict(state))
        first, second = controller.decide(state, record), controller.decide(state, record)
        assert first == second
        assert state == before
        state = first[0]


@each
@settings(max_examples=30, deadline=None)
@given(passed=curves, cut=st.integers(1, 23), later=curves)
def test_no_look_ahead(controller: Controller, passed: list[int], cut: int, later: list[int]) -> None:
    cut = min(cut, len(passed))
    perturbed = records([*passed[:cut], *later])
    assert (
        live(controller, records(passed)[:cut])
        == live(controller, perturbed)[: len(live(controller, records(passed)[:cut]))]
    )


@each
@settings(max_examples=50, deadline=None)
@given(passed=curves)
def test_targets_are_kept(controller: Controller, passed: list[int]) -> None:
    """A step named by a decision or by `last` is the current one, or was kept ever since it was."""
    state, kept = controller.init(), set[int]()
    for record in records(passed):
        state, decision = controller.decide(state, record)
        available = kept | {record.step}
        if decision.action != "continue":
            assert decision.target_step in available
        assert set(decision.average) <= available
        assert controller.last(state, record.step).target_step in available
        kept = available & controller.keep(state)
        assert controller.keep(state) <= available
        if decision.action == "stop":
            break


@each
@settings(max_examples=20, deadline=None)
@given(passed=curves)
def test_last_is_a_stop(controller: Controller, passed: list[int]) -> None:
    state = controller.init()
    for record in records(passed):
        state, decision = controller.decide(state, record)
        last = controller.last(state, record.step)
        assert last.action == "stop"
        assert last.target_step is not None
        assert last.reason
        if decision.action == "stop":
            break


@each
@given(default=st.integers(1, 40), peak_step=st.integers(0, 40))
def test_budget_is_a_number_of_steps(controller: Controller, default: int, peak_step: int) -> None:
    summary = CampaignSummary(0, 40, 0.2, 0.5, peak_step, 0.1, peak_step)
    for history in ([], [summary], [summary, replace(summary, campaign=1)]):
        assert controller.budget(default, history) >= 0
        assert controller.budget(default, history) == controller.budget(default, tuple(history))


@each
def test_a_bare_record_is_enough(controller: Controller) -> None:
    """A foreign log has a step and a value, and may start anywhere."""
    state = controller.init()
    for step, value in [(7, 0.2), (8, 0.6), (9, 0.1), (10, 0.1), (11, 0.0), (12, 0.0)]:
        state, decision = controller.decide(state, Record(step, value))
        if decision.action == "stop":
            break
    assert controller.last(state, step).target_step in range(7, 13)
