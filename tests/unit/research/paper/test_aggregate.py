"""Robust summaries against scipy, their coverage, and their edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from crestfall.core.errors import InputError
from crestfall.core.rng import stream
from research.paper.aggregate import improvement_coverage, improvement_interval, iqm_coverage, iqm_interval

X = np.array([0.11, 0.35, 0.22, 0.41, 0.18, 0.95, 0.30, 0.27])
Y = np.array([0.05, 0.31, 0.20, 0.10, 0.44, 0.16, 0.25])


def test_iqm_as_scipy() -> None:
    mine = iqm_interval(X, stream("t"), resamples=20_000)
    theirs = stats.bootstrap(
        (X,),
        lambda x, axis: stats.trim_mean(x, 0.25, axis=axis),
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert mine.estimate == stats.trim_mean(X, 0.25)
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_improvement_as_scipy() -> None:
    def mann_whitney(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(stats.mannwhitneyu(x, y, axis=axis).statistic / (x.shape[axis] * y.shape[axis]))

    mine = improvement_interval(X, Y, stream("t"), resamples=20_000)
    theirs = stats.bootstrap(
        (X, Y), mann_whitney, method="percentile", n_resamples=4_000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert mine.estimate == pytest.approx(mann_whitney(X, Y, 0))
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_coverage_is_measured_for_the_number_of_seeds() -> None:
    assert iqm_coverage(4) < 0.93 < iqm_coverage(20)
    assert 0.9 < improvement_coverage(8, 8) < 0.99
    assert iqm_interval(X, stream("t")).coverage == iqm_coverage(8)
    assert improvement_interval(X, Y, stream("t")).coverage == improvement_coverage(8, 7)


def test_one_seed_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2 units, there are 1"):
        iqm_interval(X[:1], stream("t"))
    with pytest.raises(InputError, match="at least 2 units, there are 1"):
        improvement_interval(X, Y[:1], stream("t"))
