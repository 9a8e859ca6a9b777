"""What warns of a fall: planted signs are found, clocks are seen through, chance stays chance."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from crestfall.analysis.trajectory import Series, Trajectory
from crestfall.core.rng import stream
from research.warning import CLOCK, SCORE, Moment, WarningSign, moments, warning_sign

SCORES = [0.2, 0.3, 0.4, 0.5, 0.6, 0.58, 0.5, 0.6, 0.62, 0.3, 0.2, 0.1]


def trajectory(scores: list[float], signal: dict[int, float]) -> Trajectory:
    return Trajectory(
        "t", Path("t"), "m", "", np.arange(len(scores)), np.array(scores), signals={"s": Series.of(signal)}
    )


def test_moments_are_near_the_best_so_far_and_look_three_evaluations_ahead() -> None:
    found = moments("naive", 0, 0, trajectory(SCORES, {s: 10.0 * s for s in range(1, 12) if s != 5}))
    # Not steps 0-2 (no change is known), 6 (12 points below), 9-11 (too few evaluations follow).
    assert [(m.step, m.falls) for m in found] == [(3, False), (4, True), (5, False), (7, True), (8, True)]
    four, five = found[1], found[2]
    assert four.values == {"s": 40.0, SCORE: 0.6, CLOCK: 4.0}
    assert four.changes == pytest.approx({"s": 20.0, SCORE: 0.2, CLOCK: 2.0})
    assert "s" not in five.values  # not measured is absent, not 0
    assert "s" not in found[3].changes


def test_nothing_that_comes_later_goes_into_a_moment() -> None:
    signal = {s: float(s) for s in range(1, 12)}
    whole = moments("naive", 0, 0, trajectory(SCORES, signal))
    changed = {s: v if s <= 5 else 99.0 for s, v in signal.items()}
    other = moments("naive", 0, 0, trajectory([*SCORES[:9], 0.9, 0.9, 0.9], changed))
    for a, b in zip(whole[:3], other[:3], strict=True):
        assert (a.values, a.changes) == (b.values, b.changes)


def simulated(seeds: int, planted: float, clock: float) -> list[Moment]:
    """Falls become likelier with time. `s` grows with time by `clock`, and before a fall by `planted` more."""
    rng, out = stream("moments", str(planted), str(clock)), []
    for seed in range(seeds):
        for _ in range(6):
            for step in range(3, 15):
                falls = bool(rng.random() < step / 20)
                value = rng.normal() + clock * step + planted * falls
                out.append(Moment("naive", seed, 0, step, falls, {"s": value, CLOCK: float(step)}, {}))
    return out


def test_overall_is_the_mann_whitney_statistic() -> None:
    found = simulated(6, planted=1.0, clock=0.2)
    falling, quiet = ([m.values["s"] for m in found if m.falls is falls] for falls in (True, False))
    u = mannwhitneyu(falling, quiet).statistic
    assert warning_sign("s", found).overall == pytest.approx(u / len(falling) / len(quiet))


def test_a_planted_sign_is_found_and_a_clock_is_seen_through() -> None:
    sign, clock = warning_sign("s", simulated(60, 1.0, 0.0)), warning_sign("s", simulated(60, 0.0, 1.0))
    assert sign.within is not None
    assert clock.within is not None
    expected = 0.5 * (1 + math.erf(1.0 / 2))  # two normals, one standard deviation apart
    assert sign.within.low < expected < sign.within.high
    assert sign.within.low > 0.7
    assert clock.overall is not None
    assert clock.overall > 0.7
    assert clock.within.low < 0.5 < clock.within.high


def test_the_clock_says_nothing_within_a_step() -> None:
    within = warning_sign(CLOCK, simulated(5, 0.0, 0.0)).within
    assert within is not None
    assert (within.low, within.estimate, within.high) == (0.5, 0.5, 0.5)


def test_arms_are_not_compared_with_each_other() -> None:
    """An arm that falls more often and has the larger signal for another reason is no evidence."""
    rng = stream("two arms")
    found = [
        Moment(arm, seed, 0, 5, bool(rng.random() < rate), {"s": rng.normal() + shift}, {})
        for arm, rate, shift in (("wild", 0.8, 5.0), ("tame", 0.2, 0.0))
        for seed in range(8)
        for _ in range(20)
    ]
    sign = warning_sign("s", found)
    assert sign.overall is not None
    assert sign.overall > 0.7
    assert sign.within is not None
    assert sign.within.low < 0.5 < sign.within.high


def test_campaigns_are_not_compared_with_each_other() -> None:
    """Later campaigns fall more often, and the signal drifts over the chain."""
    rng = stream("three campaigns")
    found = [
        Moment("naive", seed, campaign, step, bool(rng.random() < rate), {"s": rng.normal() + campaign}, {})
        for seed in range(8)
        for campaign, rate in enumerate((0.1, 0.3, 0.6))
        for step in range(3, 15)
    ]
    sign = warning_sign("s", found)
    assert sign.overall is not None
    assert sign.overall > 0.65
    assert sign.within is not None
    assert sign.within.low < 0.5 < sign.within.high


def test_nothing_to_compare() -> None:
    quiet = [Moment("naive", seed, 0, 5, False, {"s": 1.0}, {}) for seed in range(8)]
    assert warning_sign("s", quiet) == WarningSign("s", None, None)
    assert warning_sign("s", []) == WarningSign("s", None, None)
    three = [*quiet, *(Moment("naive", seed, 0, 5, True, {"s": 2.0}, {}) for seed in range(3))]
    assert warning_sign("s", three) == WarningSign("s", None, None)  # three chains that fall are an anecdote


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [8, 10])
def test_how_often_the_interval_covers_chance(seeds: int) -> None:
    """A signal that says nothing of falls but has a level of its own in every chain, as have the chains' falls."""
    rng, covered, cases = stream("coverage of warnings", seeds), 0, 0
    for _ in range(300):
        found = []
        for seed in range(seeds):
            level, rate = rng.normal(), rng.uniform(0, 0.4)
            for campaign in range(3):
                for step in range(3, 15):
                    value, falls = level + rng.normal(), bool(rng.random() < rate)
                    found.append(Moment("naive", seed, campaign, step, falls, {"s": value}, {}))
        within = warning_sign("s", found).within
        if within is not None:
            cases += 1
            covered += within.low <= 0.5 <= within.high
    print(f"{seeds} seeds: covered in {covered} of {cases}")
    assert covered / cases > 0.85
