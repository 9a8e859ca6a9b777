"""Back to the crest and on from there with smaller steps; nothing where nothing falls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from crestfall.control.crest import Crest
from crestfall.core.rng import stream
from crestfall.core.types import Decision, Evaluation, Record


def decisions(control: Crest, values: Sequence[float]) -> tuple[list[Decision], Any]:
    """On evaluations of 30 problems, 16 samples each."""
    state, out = control.init(), []
    for step, value in enumerate(values):
        counts = tuple((round(480 * value) + i) // 30 for i in range(30))
        state, decision = control.decide(state, Record.of(step, Evaluation(counts, 16)))
        out.append(decision)
    return out, state


def test_each_fall_goes_back_to_the_best_step_and_halves_the_rate() -> None:
    made, state = decisions(Crest(), [0.2, 0.5, 0.7, 0.3, 0.69, 0.8, 0.2, 0.8])
    acted = {step: decision for step, decision in enumerate(made) if decision.action != "continue"}
    assert {step: (d.action, d.target_step, d.learning_rate_scale) for step, d in acted.items()} == {
        3: ("rollback", 2, 0.5),
        6: ("rollback", 5, 0.5),
    }
    assert acted[3].reason.endswith("learning rate x 0.5")
    assert Crest().keep(state) == {5}
    last = Crest().last(state, 7)
    assert (last.action, last.target_step, last.learning_rate_scale) == ("stop", 5, 1.0)


def test_a_second_fall_is_seen_though_no_step_after_the_first_came_near_the_peak() -> None:
    """What follows a rollback is held against the curve that led to the peak, not against itself."""
    made, _ = decisions(Crest(), [0.2, 0.5, 0.7, 0.2, 0.2, 0.2])
    assert [decision.action for decision in made] == ["continue"] * 3 + ["rollback"] * 3


def test_after_a_rollback_a_plateau_is_left_alone() -> None:
    """The peak was chosen for being high: that must not make its own plateau look like a fall."""
    rng, false_alarms = stream("after a rollback"), 0
    for _ in range(60):
        falls = [0.2, 0.4, 0.6, 0.6, 0.6, 0.6, 0.6, 0.2]
        noise = rng.normal(0, 0.02, size=len(falls) + 20)
        made, _ = decisions(Crest(), list(np.clip(np.array([*falls, *[0.6] * 20]) + noise, 0, 1)))
        assert made[7].action == "rollback"
        false_alarms += any(decision.action != "continue" for decision in made[8:])
    assert false_alarms <= 1


def test_a_noisy_plateau_is_left_alone() -> None:
    made, _ = decisions(Crest(), [0.2, 0.5, 0.7, 0.68, 0.71, 0.66, 0.7, 0.69, 0.67, 0.7, 0.68, 0.69])
    assert {decision.action for decision in made} == {"continue"}
    assert {decision.learning_rate_scale for decision in made} == {1.0}


def test_how_much_slower_is_an_option() -> None:
    made, _ = decisions(Crest(slow_down=0.1), [0.2, 0.7, 0.2])
    assert made[-1].learning_rate_scale == 0.1
