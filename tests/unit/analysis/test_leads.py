"""Where a signal's course breaks, and how often straight noise does."""

from __future__ import annotations

import numpy as np
import pytest

from crestfall.analysis.leads import break_point, lead_of, line_errors, p_value_of_break
from crestfall.analysis.noise import ar1
from crestfall.analysis.trajectory import Series
from crestfall.core.rng import stream


def series(values: np.ndarray) -> Series:
    return Series(np.arange(len(values)), np.asarray(values, dtype=np.float64))


def test_a_jump_and_a_kink_are_found_where_they_are() -> None:
    rng = np.random.default_rng(0)
    jump = np.where(np.arange(60) < 30, 1.0, 3.0) + 0.1 * rng.standard_normal(60)
    kink = np.maximum(np.arange(60) - 30, 0) * 0.3 + 0.1 * rng.standard_normal(60)
    found = lead_of("entropy", series(jump), 40)
    assert found is not None
    assert (found.steps, found.broke_at) == (10, 30)
    found = lead_of("entropy", series(kink), 40)
    assert found is not None
    assert found.broke_at == pytest.approx(30, abs=2)


def test_a_break_after_the_onset_has_a_negative_lead() -> None:
    values = np.where(np.arange(60) < 50, 1.0, 3.0) + 0.1 * np.random.default_rng(1).standard_normal(60)
    found = lead_of("kl_base", series(values), 40)
    assert found is not None
    assert found.steps == -10


def test_what_follows_the_fall_is_not_looked_at() -> None:
    values = np.where(np.arange(60) < 50, 1.0, 3.0) + 0.1 * np.random.default_rng(1).standard_normal(60)
    assert lead_of("kl_base", series(values).within(0, 45), 40) is None


def test_a_straight_course_and_a_short_one_do_not_break() -> None:
    assert lead_of("entropy", series(np.linspace(5, 1, 50)), 40) is None
    assert lead_of("entropy", series(np.full(50, 2.0)), 40) is None
    assert lead_of("entropy", series(np.array([0.0] * 5 + [9.0] * 4)), 5) is None


def test_a_start_up_that_settles_is_no_warning() -> None:
    rng = np.random.default_rng(3)
    t = np.arange(80)
    for values in (np.exp(-t / 8), np.minimum(t / 20, 1.0), 1 - np.exp(-t / 15)):
        assert lead_of("grad_norm", series(values + 0.01 * rng.standard_normal(80)), 60) is None


def test_line_errors_as_polyfit() -> None:
    y = np.random.default_rng(2).random(15)
    errors = line_errors(y[None])[0]
    for i in (4, 9, 15):
        fit = np.polyval(np.polyfit(np.arange(i), y[:i], 1), np.arange(i))
        assert errors[i] == pytest.approx(np.sum((y[:i] - fit) ** 2))


def test_break_point_needs_three_points_on_each_side() -> None:
    values = np.array([[9.0] + [0.0] * 11])
    assert 3 <= break_point(values).index_B[0] <= 9


@pytest.mark.parametrize(("rho", "most"), [(0.0, 0.1), (0.5, 0.2)])
def test_false_alarms_on_straight_lines(rho: float, most: float) -> None:
    lines = np.linspace(0, 3, 50) + ar1(stream("lines", str(rho)), 150, 50, rho)
    alarms = [p_value_of_break(v) < 0.05 for v in lines]
    assert np.mean(alarms) < most
