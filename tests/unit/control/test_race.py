"""Fork and race: which steps are trained from, at which rates, and what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from crestfall.control.race import Race
from crestfall.core.types import Decision, Duel, Record


def raced(controller: Race, steps: int, better: Callable[[int], bool]) -> tuple[list[Decision], list[int]]:
    """Decisions of so many steps, and the steps at which a duel was asked for. `better`: wins a step its duel?"""
    state, decision = controller.decide(controller.init(), Record(0, 0.5))
    decisions, fought = [decision], []
    for step in range(1, steps + 1):
        state = json.loads(json.dumps(state))
        rival = controller.rival(state)
        duel = None
        if rival is not None:
            assert rival in controller.keep(state)
            fought.append(step)
            duel = Duel(rival, *((5, 2) if better(step) else (2, 5)))
        state, decision = controller.decide(state, Record(step, 0.5, duel=duel))
        assert decision.target_step is None or decision.target_step in controller.keep(state)
        decisions.append(decision)
    decisions.append(controller.last(state, steps))
    return decisions, fought


def rates(decisions: list[Decision]) -> list[float]:
    """The multiplier in force after each decision."""
    now, out = 1.0, []
    for decision in decisions:
        now *= decision.learning_rate_scale
        out.append(now)
    return out


def test_every_rate_starts_from_the_same_step_and_the_best_goes_on() -> None:
    made, fought = raced(Race(rates=(1.0, 0.25, 4.0), steps=2, between=3), 10, lambda step: step in (2, 6, 9))
    assert [d.target_step for d in made] == [None, None, 0, None, 0, None, None, None, None, None, None, 9]
    assert rates(made)[:10] == [1, 1, 0.25, 0.25, 4, 4, 4, 4, 4, 4]  # the third rate won at step 6
    assert fought == [2, 4, 6, 9]


def test_the_next_race_is_around_the_winners_rate() -> None:
    made, _ = raced(Race(rates=(1.0, 0.5), steps=1, between=1), 6, lambda step: step in (2, 3, 5))
    assert [d.target_step for d in made][:6] == [None, 0, None, None, 3, None]
    assert rates(made)[:6] == [1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_where_no_rate_helps_the_smallest_goes_on_from_the_start() -> None:
    made, _ = raced(Race(rates=(1.0, 0.25, 4.0), steps=1, between=2), 5, lambda step: False)
    assert (made[3].action, made[3].target_step) == ("rollback", 0)
    assert rates(made)[3] == pytest.approx(0.25)
    assert made[-1].target_step == 0


def test_a_leg_without_a_duel_wins_nothing() -> None:
    state, _ = Race(steps=1).decide(Race().init(), Record(0, 0.1))
    state, _ = Race(steps=1).decide(state, Record(1, 0.9))
    assert Race().last(state, 1).target_step == 0
