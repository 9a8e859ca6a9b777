from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from crestfall.control.care.belief import Belief, surprise
from crestfall.control.care.memory import Forecast

MEMBERS = ("pass_at_1", "pass_at_16", "diversity", "hard_case_accuracy")
FORECAST = Forecast(dict.fromkeys(MEMBERS, 0.05), dict(zip(MEMBERS, (0.01, 0.02, 0.03, 0.04), strict=True)), (), 0.5, 2)


@pytest.mark.parametrize("members", [1, 2, 3, 4])
def test_distance_and_p_value_are_those_of_the_quadratic_form(members: int) -> None:
    observed = dict(zip(MEMBERS[:members], (-0.2, 0.1, 0.3, -0.1), strict=False))
    found = surprise(FORECAST, observed)
    gap = np.array([observed[m] - 0.05 for m in observed])
    distance2 = gap @ np.linalg.inv(np.diag([FORECAST.variance[m] for m in observed])) @ gap
    assert found.distance2 == pytest.approx(distance2)
    assert found.members == members
    assert found.p_value == pytest.approx(chi2.sf(distance2, members))


@pytest.mark.parametrize(("members", "threshold"), [(3, 7.815), (4, 9.488)])
def test_the_threshold_is_the_chi_square_quantile(members: int, threshold: float) -> None:
    assert chi2.ppf(0.95, members) == pytest.approx(threshold, abs=1e-3)
    for factor, revises in ((0.999, False), (1.001, True)):
        gap = (factor * threshold / members) ** 0.5
        observed = {m: FORECAST.mean[m] - gap * FORECAST.variance[m] ** 0.5 for m in MEMBERS[:members]}
        assert Belief().revises(surprise(FORECAST, observed)) is revises


def test_only_downward_surprises_count() -> None:
    up = surprise(FORECAST, {"pass_at_1": 0.9})
    assert up.p_value < 1e-6
    assert not Belief().revises(up)
    # A collapse: fewer pass, and the few that do are all different.
    down = surprise(FORECAST, {"pass_at_1": -0.4, "diversity": 0.9})
    assert Belief().revises(down)


def test_nothing_measured_is_no_surprise() -> None:
    assert surprise(FORECAST, {}).p_value == 1
    assert not Belief().revises(surprise(FORECAST, {}))


def test_the_level_is_an_option() -> None:
    found = surprise(FORECAST, {"pass_at_1": 0.05 - 0.25})  # D^2 = 6.25, p = 0.012
    assert Belief(level=0.95).revises(found)
    assert not Belief(level=0.99).revises(found)
