"""Which of the saved checkpoints is named, and which are said to be as good."""

from pathlib import Path

import numpy as np

from crestfall.analysis.advice.choose import Smoothed, choose
from crestfall.analysis.advice.saved import Found, Saved

STEPS = np.arange(0, 101, 10)
CURVE = Smoothed(STEPS, np.interp(STEPS, [0, 50, 100], [0.2, 0.7, 0.1]), 0.02, 50, (40, 60))


def found(*steps: int) -> Found:
    return Found(tuple(Saved(step, Path(f"checkpoint-{step}")) for step in steps))


def test_the_one_nearest_to_the_peak_of_those_that_are_as_good():
    choice = choose(found(20, 40, 55, 60, 90), CURVE)
    assert choice.take == Saved(55, Path("checkpoint-55"))
    assert [s.step for s in choice.as_good] == [40, 60]
    assert choice.at_peak
    assert choice.lines() == [
        "checkpoint-55 (step 55, 0.640: at the peak)",
        "as good within noise: steps 40, 60",
    ]


def test_without_one_at_the_peak_the_best_of_the_others():
    choice = choose(found(20, 80, 100), CURVE)
    assert (choice.take.step, choice.at_peak) == (20, False)
    assert [s.step for s in choice.as_good] == []
    assert choice.lines() == [
        "checkpoint-20 (step 20, 0.400: the best of 3 saved; none was at the peak (steps 40 to 60))"
    ]


def test_of_those_off_the_peak_what_is_within_noise_is_as_good():
    assert [s.step for s in choose(found(20, 85), CURVE).as_good] == []
    choice = choose(found(20, 75), CURVE)
    assert (choice.take.step, [s.step for s in choice.as_good]) == (75, [20])


def test_none_saved_says_which_step_to_look_for():
    choice = choose(Found(), CURVE)
    assert choice.take is None
    assert choice.lines() == [
        "no saved checkpoint was found beside the log; look for one of step 50 (steps 40 to 60 are as good)"
    ]
    assert choice.to_json()["take"] is None


def test_steps_that_the_log_does_not_cover_are_not_scored():
    choice = choose(found(50, 200), CURVE)
    assert choice.take.step == 50
    assert "200" in choice.note
    alone = choose(found(20_000, 40_000), CURVE)
    assert alone.take is None
    assert "20000 to 40000" in alone.note
