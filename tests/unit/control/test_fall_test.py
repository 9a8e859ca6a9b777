"""The sequential test: false alarms as promised on simulated plateaus, real falls found."""

import numpy as np
import pytest

from crestfall.control.alert import Alert, SignificantFall
from crestfall.control.fall_test import FallTest, known_noise
from crestfall.core.rng import stream
from crestfall.core.types import Evaluation, Record

PLATEAU = [0.5] * 30
RISE = [min(0.25 + 0.02 * step, 0.5) for step in range(30)]
CEILING = [0.97] * 30


def alarms(curve: list[float], runs: int, n: int, problems: int, known: bool = True, alpha: float = 0.05) -> list[int]:
    """Steps of the first alarm in simulated runs that raise one: problems of unequal difficulty, n samples each."""
    test, out = FallTest(alpha, horizon=len(curve)), []
    for run in range(runs):
        rng = stream("fall test", str(curve[:3]), n, problems, run)
        difficulty = rng.normal(0, 1, problems)
        state = test.init()
        for step, level in enumerate(curve):
            p = 1 / (1 + np.exp(-(np.log(level / (1 - level)) + difficulty)))
            evaluation = Evaluation(tuple(rng.binomial(n, p).tolist()), n)
            record = Record.of(step, evaluation) if known else Record(step, evaluation.pass_at_1)
            state, fall = test.update(state, record)
            if fall.alarm:
                out.append(step)
                break
    return out


@pytest.mark.parametrize("curve", [PLATEAU, RISE, CEILING], ids=["plateau", "rise then plateau", "ceiling"])
@pytest.mark.parametrize("known", [True, False], ids=["noise known", "noise estimated"])
def test_false_alarms_stay_below_alpha(curve: list[float], known: bool) -> None:
    assert len(alarms(curve, 60, 4, 20, known)) / 60 <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("curve", [PLATEAU, RISE, CEILING, [0.03] * 30], ids=["plateau", "rise", "ceiling", "floor"])
@pytest.mark.parametrize(("n", "problems"), [(16, 30), (1, 30), (2, 10)])
def test_false_alarms_over_many_runs(curve: list[float], alpha: float, n: int, problems: int) -> None:
    assert len(alarms(curve, 400, n, problems, alpha=alpha)) / 400 <= alpha


@pytest.mark.parametrize(("drop", "delay"), [(0.4, 0), (0.2, 1), (0.1, 4)])
def test_real_falls_are_found_in_time(drop: float, delay: int) -> None:
    curve = [0.3, 0.4, *[0.5] * 10, *[0.5 - drop] * 10]
    steps = alarms(curve, 20, 16, 30)
    assert len(steps) == 20
    assert 12 <= float(np.mean(steps)) <= 12 + delay


def test_a_slow_decline_is_found() -> None:
    assert len(alarms([0.5 - 0.006 * step for step in range(40)], 10, 16, 30)) == 10


def test_a_fall_is_found_in_a_score_of_unknown_noise() -> None:
    assert len(alarms([0.5] * 20 + [0.2] * 10, 20, 16, 30, known=False)) == 20


def test_nothing_is_said_of_unknown_noise_before_there_is_an_estimate() -> None:
    test = FallTest()
    state = test.init()
    for step, value in enumerate([0.9] * 6 + [0.0] * 5):
        state, fall = test.update(state, Record(step, value))
        assert fall.p_value == 1
        assert not fall.noise_known


def test_an_evaluation_in_which_nothing_passed_is_not_taken_for_certain() -> None:
    noise = known_noise(Record.of(0, Evaluation((0,) * 30, 16)))
    assert noise is not None
    assert noise > 0
    assert known_noise(Record(0, 0.5)) is None


def test_a_collapse_to_a_score_that_calls_itself_certain_is_found() -> None:
    test = FallTest()
    state = test.init()
    for step, (value, error) in enumerate([(0.5, 0.02), (0.5, 0.02), (0.5, 0.02), (0.0, 0.0)]):
        state, fall = test.update(state, Record(step, value, error))
    assert fall.alarm
    assert fall.noise_known


def test_alert_tells_once_and_never_acts() -> None:
    controller = Alert()
    state = controller.init()
    told = []
    for step, value in enumerate([0.5, 0.5, 0.5, 0.1, 0.1, 0.1]):
        state, decision = controller.decide(state, Record(step, value, standard_error=0.02))
        assert decision.action == "continue"
        if decision.reason:
            told.append(step)
            assert decision.reason.startswith("alert: down by 0.400")
    assert told == [3]


def test_significant_fall_leaves_a_noisy_plateau_alone_and_stops_at_a_cliff() -> None:
    controller = SignificantFall()
    state = controller.init()
    for step, value in enumerate([0.5, 0.54, 0.5, 0.48, 0.5, 0.49, 0.51]):  # patience 3 would have stopped at step 4
        state, decision = controller.decide(state, Record(step, value, standard_error=0.02))
        assert decision.action == "continue"
    state, decision = controller.decide(state, Record(7, 0.1, standard_error=0.02))
    assert (decision.action, decision.target_step) == ("stop", 1)
    assert controller.keep(state) == {1}


def test_every_further_rollback_spends_half_of_what_is_left() -> None:
    controller = SignificantFall(alpha=0.1, then="go_on")
    state = controller.init()
    reasons = []
    for step, value in enumerate([0.5, 0.1] * 3):
        state, decision = controller.decide(state, Record(step, value, standard_error=0.01))
        if decision.action == "rollback":
            assert decision.target_step == 0
            reasons.append(decision.reason)
    assert ["<= 0.05 " in reasons[0], "<= 0.025 " in reasons[1], "<= 0.0125 " in reasons[2]] == [True] * 3
