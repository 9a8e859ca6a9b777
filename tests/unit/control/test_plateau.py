from __future__ import annotations

from crestfall.control.plateau import Plateau
from crestfall.core.types import Record


def scales(controller: Plateau, values: list[float]) -> list[float]:
    state, out = controller.init(), []
    for step, value in enumerate(values):
        state, decision = controller.decide(state, Record(step, value))
        assert decision.action == "continue"
        out.append(decision.learning_rate_scale)
    return out


def test_the_rate_falls_after_evaluations_without_a_better_score_and_again_after_as_many() -> None:
    values = [0.1, 0.5, 0.5, 0.4, 0.3, 0.2, 0.5, 0.4, 0.6, 0.5]
    assert scales(Plateau(patience=2, factor=0.5), values) == [1, 1, 1, 1, 0.5, 1, 1, 0.5, 1, 1]


def test_a_score_that_grows_changes_nothing() -> None:
    assert scales(Plateau(), [0.1 * i for i in range(10)]) == [1.0] * 10


def test_the_last_weights_are_handed_on() -> None:
    assert Plateau().last({"peak": 0.9, "waited": 1}, 7).target_step == 7
