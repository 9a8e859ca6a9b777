"""Bets on duels: the false-alarm rate of whole runs, what is found, and what a campaign makes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from crestfall.control.betting import Bets
from crestfall.control.crest2 import Crest2
from crestfall.core.types import Decision, Duel, Record

PROBLEMS, SAMPLES = 30, 16


def duels(
    rng: np.random.Generator, now_P: np.ndarray, rival_P: np.ndarray, shared: float, looks: int, rival: int = 0
) -> list[Duel]:
    """Duels of two policies with these pass rates; `shared` of the samples hang on one random number for both."""
    size = (looks, PROBLEMS, SAMPLES)
    u, v = rng.random(size), rng.random(size)
    other = np.where(rng.random(size) < shared, u, v)
    now, before = u < now_P[:, None], other < rival_P[:, None]
    wins, losses = (now & ~before).sum(axis=(1, 2)), (before & ~now).sum(axis=(1, 2))
    return [Duel(rival, int(w), int(lost)) for w, lost in zip(wins, losses, strict=True)]


def run(controller: Crest2, fights: list[Duel]) -> list[Decision]:
    state, _ = controller.decide(controller.init(), Record(0, 0.5))
    out = []
    for step, fight in enumerate(fights, 1):
        state, decision = controller.decide(state, Record(step, 0.5, duel=fight))
        out.append(decision)
    return out


@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_runs_in_which_nothing_is_worse_hardly_ever_go_back(shared: float) -> None:
    """Over whole runs of 40 looks, problems of every difficulty, samples shared or not."""
    rng, controller, runs = np.random.default_rng(0), Crest2(alpha=0.2), 400
    rates_P = rng.beta(0.7, 0.7, PROBLEMS)
    went_back = sum(
        any(d.action == "rollback" for d in run(controller, duels(rng, rates_P, rates_P, shared, 40)))
        for _ in range(runs)
    )
    assert went_back / runs <= controller.alpha / 2 + 3 * math.sqrt(0.1 * 0.9 / runs)


def test_problems_that_cancel_each_other_are_no_fall() -> None:
    """Worse on half of the problems and better on the others, which are as many: not worse."""
    rng, runs = np.random.default_rng(1), 300
    half = np.arange(PROBLEMS) < PROBLEMS // 2
    now_P, rival_P = np.where(half, 0.9, 0.2), np.where(half, 0.2, 0.9)
    alarms = sum(
        any(d.action == "rollback" for d in run(Crest2(alpha=0.2), duels(rng, now_P, rival_P, 0.0, 20)))
        for _ in range(runs)
    )
    assert alarms / runs <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / runs)


@pytest.mark.parametrize(("fall", "within"), [(0.3, 1), (0.1, 3), (0.05, 8)])
def test_falls_are_found(fall: float, within: int) -> None:
    rng, rates_P = np.random.default_rng(2), np.full(PROBLEMS, 0.7)
    found = [
        any(d.action == "rollback" for d in run(Crest2(), duels(rng, rates_P - fall, rates_P, 0.5, within)))
        for _ in range(100)
    ]
    assert np.mean(found) > 0.9


def test_a_fall_that_begins_late_is_found_as_one_that_begins_at_once() -> None:
    rng, rates_P = np.random.default_rng(3), np.full(PROBLEMS, 0.5)
    fights = duels(rng, rates_P + 0.02, rates_P, 0.5, 12) + duels(rng, rates_P - 0.2, rates_P, 0.5, 2)
    actions = [d.action for d in run(Crest2(alpha_better=1e-12), fights)]
    assert actions[:12] == ["continue"] * 12
    assert "rollback" in actions[12:]


def test_back_means_the_incumbent_a_quarter_of_the_rate_and_a_fresh_optimizer() -> None:
    [decision] = run(Crest2(), [Duel(0, 0, 60)])
    assert (decision.action, decision.target_step) == ("rollback", 0)
    assert (decision.learning_rate_scale, decision.forget_optimizer) == (0.25, True)
    assert "worse than step 0" in decision.reason


def played(controller: Crest2, fights: list[tuple[int, int]]) -> tuple[Mapping[str, Any], list[Decision]]:
    state, _ = controller.decide(controller.init(), Record(0, 0.5))
    decisions = []
    for step, (wins, losses) in enumerate(fights, 1):
        rival = controller.rival(state)
        assert rival is not None
        state, decision = controller.decide(state, Record(step, 0.5, duel=Duel(rival, wins, losses)))
        decisions.append(decision)
    return state, decisions


def test_a_better_policy_is_the_incumbent_and_what_the_next_one_fights() -> None:
    state, _ = played(Crest2(), [(60, 0), (1, 1), (60, 0)])
    assert Crest2().rival(state) == 3
    assert Crest2().keep(state) == {3}


def test_two_in_a_row_speed_up_and_win_back_no_more_than_was_lost() -> None:
    won, lost = (60, 0), (0, 60)
    assert [d.learning_rate_scale for d in played(Crest2(), [won] * 4)[1]] == [1.0] * 4
    assert [d.learning_rate_scale for d in played(Crest2(fastest=4.0), [won] * 4)[1]] == [1.0, 1.5, 1.0, 1.5]
    slow = played(Crest2(speed_up=3.0), [lost, *[won] * 4])[1]
    assert [d.learning_rate_scale for d in slow] == [0.25, 1.0, 3.0, 1.0, pytest.approx(4 / 3)]


@pytest.mark.parametrize(
    ("fights", "kept"),
    [
        ([], 7),  # nothing is known against it
        ([(1, 2)], 0),  # behind, if not beyond chance
        ([(2, 1)], 7),
        ([(0, 60)], 0),  # went back
        ([(60, 0), (0, 3)], 1),
    ],
)
def test_the_better_of_the_two_is_handed_on(fights: list[tuple[int, int]], kept: int) -> None:
    state, _ = played(Crest2(), fights)
    decision = Crest2().last(state, 7)
    assert (decision.action, decision.target_step) == ("stop", kept)


def test_each_return_spends_half_of_what_is_left() -> None:
    needed = [d.evidence["e_needed"] for d in played(Crest2(), [(0, 60), (0, 60), (0, 60)])[1]]
    assert needed == pytest.approx([40, 80, 160])


@pytest.mark.parametrize("true", [0.0, 0.02])
def test_the_e_value_of_a_fall_has_an_expectation_of_at_most_one(true: float) -> None:
    """Where E[D] is 0 or more. Its distribution is skew: the mean of many, within its error."""
    rng = np.random.default_rng(4)
    last = []
    for _ in range(4000):
        state: Mapping[str, Any] = Bets().init()
        log_e = 0.0
        for wins, losses in zip(rng.binomial(40, 0.5 + true, 6), rng.binomial(40, 0.5, 6), strict=True):
            state, log_e = Bets().update(state, against=int(wins), in_favour=int(min(losses, 40)))
        last.append(math.exp(log_e))
    assert np.mean(last) <= 1 + 4 * np.std(last) / math.sqrt(len(last))


def test_without_a_duel_nothing_is_decided() -> None:
    state, _ = Crest2().decide(Crest2().init(), Record(0, 0.9))
    for step in range(1, 9):
        state, decision = Crest2().decide(state, Record(step, 0.0))
        assert decision.action == "continue"
