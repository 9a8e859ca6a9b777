"""The nulls: the right variance, and no verdict on runs that never fell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crestfall.analysis.measures import measure_campaign
from crestfall.analysis.null import against_null, intraclass_correlation, simulate_null, statistics, true_level
from crestfall.analysis.trajectory import FloatArray, Trajectory
from crestfall.core.errors import InputError
from crestfall.core.types import Evaluation

N, PROBLEMS = 16, 30


def campaign(level_S: FloatArray, rng: np.random.Generator, kappa: float = 3.0) -> Trajectory:
    """Select and report evaluations of beta-binomial problems whose ranks stay."""
    from scipy.stats import beta

    def evaluations() -> tuple[Evaluation, ...]:
        u_P = rng.random(PROBLEMS)
        p_SP = beta.ppf(u_P, level_S[:, None] * kappa, (1 - level_S[:, None]) * kappa)
        return tuple(Evaluation(tuple(map(int, row)), N) for row in rng.binomial(N, p_SP))

    select, report = evaluations(), evaluations()
    values_S = np.array([e.pass_at_1 for e in select])
    return Trajectory("c", Path("c"), "pass_at_1", "", np.arange(len(level_S)), values_S, select, report)


def test_effective_binomial_has_the_variance_of_the_problems() -> None:
    rng = np.random.default_rng(0)
    t = campaign(np.full(400, 0.4), rng)
    assert t.report is not None
    assert intraclass_correlation(t.report) == pytest.approx(1 / 4, abs=0.12)
    null_BS = simulate_null(t, "flat", rng, 50).gap_B
    real = np.std([t.judged_S[i] - t.judged_S[-1 - i] for i in range(200)])
    assert np.std(null_BS) == pytest.approx(real, rel=0.25)


def test_intraclass_correlation_at_its_ends() -> None:
    assert intraclass_correlation([Evaluation((0, 16, 16, 0), 16)] * 5) == 0.99
    assert intraclass_correlation([Evaluation((8, 8, 8, 8), 16)] * 5) == 0.0
    assert intraclass_correlation([Evaluation((0, 0), 16)]) == 0.0


def test_levels() -> None:
    rng = np.random.default_rng(1)
    t = campaign(np.concatenate([np.linspace(0.2, 0.7, 11), np.full(10, 0.1)]), rng)
    plateau, gradual, flat = (true_level(t, kind) for kind in ("plateau", "gradual", "flat"))
    assert (np.diff(plateau) >= 0).all()
    assert np.ptp(flat) == 0
    m = measure_campaign(t)
    peak = m.peak_step
    assert gradual[peak] - gradual[-1] == pytest.approx(min(m.gap, gradual[peak]))
    assert np.allclose(np.diff(gradual[peak:], 2), 0)


def test_vectorised_statistics_are_the_measures() -> None:
    rng = np.random.default_rng(2)
    t = campaign(np.linspace(0.7, 0.2, 15), rng)
    m = measure_campaign(t)
    r = statistics(t.values_S[None], t.judged_S[None], t.steps_S.astype(float))
    assert (r.gap_B[0], bool(r.collapsed_B[0]), r.onset_B[0]) == (m.gap, m.collapsed, m.onset)
    assert r.phase_transition_B[0] == m.phase_transition


def test_a_collapse_stands_out_and_a_plateau_does_not() -> None:
    rng = np.random.default_rng(3)
    rise = np.linspace(0.2, 0.6, 10)
    fallen = against_null([campaign(np.append(rise, np.full(11, 0.1)), rng) for _ in range(4)], rng)
    assert fallen.gap.p_value < 0.01
    assert fallen.collapse_rate.observed == 1.0
    assert fallen.collapse_rate.null_mean < 0.05
    assert fallen.clear == 4
    assert fallen.phase_transition is not None
    assert fallen.phase_transition.p_value < 0.05
    held = against_null([campaign(np.append(rise, np.full(11, 0.6)), rng) for _ in range(4)], rng)
    assert held.gap.p_value > 0.05
    assert held.phase_transition is None
    assert held.onset is None


def test_a_slope_is_no_cliff() -> None:
    rng = np.random.default_rng(4)
    result = against_null([campaign(np.linspace(0.8, 0.2, 21), rng) for _ in range(6)], rng)
    assert result.gap.p_value < 0.01
    assert result.phase_transition is not None
    assert result.phase_transition.p_value > 0.05


def test_a_foreign_log_has_no_counts() -> None:
    t = Trajectory("t", Path("t.csv"), "m", "", np.arange(3), np.array([0.1, 0.2, 0.1]))
    with pytest.raises(InputError, match=r"t\.csv.*counts"):
        against_null([t], np.random.default_rng(0))
    with pytest.raises(InputError, match="no campaign"):
        against_null([], np.random.default_rng(0))
