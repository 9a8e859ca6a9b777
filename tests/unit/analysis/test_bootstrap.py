"""Intervals against scipy, their coverage, and their edges."""

from __future__ import annotations

import numpy as np
import pytest

from crestfall.analysis.bootstrap import (
    cluster_interval,
    iqm,
    mean_interval,
    measured_coverage,
    proportion_interval,
)
from crestfall.core.errors import InputError
from crestfall.core.rng import stream

SEEDS = np.array([0.11, 0.35, 0.22, 0.41, 0.18, 0.95, 0.30, 0.27])


def test_percentile_as_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    mine = mean_interval(SEEDS, stream("t"), method="percentile", resamples=20_000)
    theirs = stats.bootstrap(
        (SEEDS,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert mine.low == pytest.approx(theirs.low, abs=0.006)
    assert mine.high == pytest.approx(theirs.high, abs=0.006)


def test_coverage_is_measured_and_printed_beside_the_interval() -> None:
    assert 0.78 < measured_coverage("percentile", 5) < 0.88
    assert 0.92 < measured_coverage("studentised", 5) < 0.97
    assert 0.93 < measured_coverage("Student's t", 4) < 0.97
    assert measured_coverage("percentile", 30) > measured_coverage("percentile", 5)
    assert mean_interval(SEEDS[:5], stream("t"), "percentile").coverage == measured_coverage("percentile", 5)


def test_three_seeds_give_the_range() -> None:
    interval = mean_interval(np.array([0.141, 0.245, 0.28]), stream("t"))
    assert interval.method == "percentile"
    assert (interval.low, interval.high) == pytest.approx((0.141, 0.28))


def test_equal_values_have_an_interval_of_one_point() -> None:
    for method in ("percentile", "studentised", "Student's t"):
        interval = mean_interval(np.full(6, 0.25), stream("t"), method)  # type: ignore[arg-type]
        assert (interval.low, interval.high) == (0.25, 0.25)


def test_four_seeds_with_ties_stay_finite() -> None:
    interval = mean_interval(np.array([0.0, 0.0, 0.0, 0.5]), stream("t"), "studentised")
    assert np.isfinite([interval.low, interval.high]).all()
    assert interval.method == "percentile"
    assert interval.low <= interval.estimate <= interval.high


def test_four_seeds_two_of_which_are_nearly_equal_stay_within_reason() -> None:
    """The bootstrap-t of these ends at 14 times what is possible."""
    ends = np.array([0.403, 0.390, 0.539, 0.404])
    interval = mean_interval(ends, stream("t"))
    expected = pytest.importorskip("scipy.stats").t.interval(0.95, 3, ends.mean(), ends.std(ddof=1) / 2)
    assert interval.method == "Student's t"
    assert (interval.low, interval.high) == pytest.approx(expected)
    assert mean_interval(SEEDS[:6], stream("t")).method == "studentised"


def test_one_unit_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2"):
        mean_interval(np.array([0.5]), stream("t"))
    with pytest.raises(InputError, match="at least 2 clusters"):
        cluster_interval([np.array([0.5, 0.6]), np.array([])], stream("t"))


def test_clusters_widen_the_interval_of_pooled_campaigns() -> None:
    rng = np.random.default_rng(1)
    clusters = [rng.normal(center, 0.01, 10) for center in rng.normal(0, 1, 8)]
    pooled = mean_interval(np.concatenate(clusters), stream("t"), "percentile")
    clustered = cluster_interval(clusters, stream("t"))
    assert clustered.estimate == pytest.approx(pooled.estimate)
    assert clustered.high - clustered.low > 2 * (pooled.high - pooled.low)


def test_iqm_drops_a_quarter_on_each_side() -> None:
    assert iqm(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0])) == 3.5


def test_exact_proportion_interval() -> None:
    interval = proportion_interval(0, 10)
    assert interval.low == 0.0
    assert interval.high == pytest.approx(1 - 0.025 ** (1 / 10))


@pytest.mark.slow
def test_coverage_of_the_cluster_bootstrap() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for i in range(400):
        clusters = [rng.normal(center, 0.5, 5) for center in rng.normal(0, 1, 8)]
        interval = cluster_interval(clusters, stream("t", i), resamples=1000)
        hits += interval.low <= 0 <= interval.high
    assert abs(hits / 400 - measured_coverage("percentile", 8)) < 0.06
