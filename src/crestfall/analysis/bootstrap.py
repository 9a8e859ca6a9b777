"""Intervals over seeds, with what they really cover beside them.

The unit is the seed (a chain): campaigns of one chain are not independent. With few seeds a 95% percentile interval
covers far less than 95% (about 83% at five), so every interval carries the coverage measured for its method and size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from crestfall.analysis.trajectory import FloatArray
from crestfall.core.errors import InputError
from crestfall.core.rng import stream

Method = Literal["percentile", "studentised", "Student's t"]

RESAMPLES = 10_000
FEWEST_UNITS = 4
"""Below, values say more than an interval of them."""
FEWEST_STUDENTISED = 6
"""Below, resamples that have next to no spread of their own throw the bootstrap-t far beyond anything possible."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class Interval:
    """`coverage`: how often an interval of this method, nominal level and number of units covers the true mean of a
    normal population, measured by simulation; None where the statistic is not a mean of units."""

    estimate: float
    low: float
    high: float
    level: float
    method: str
    units: int
    coverage: float | None


def mean_interval(
    values_N: FloatArray,
    rng: np.random.Generator,
    method: Method | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Interval:
    """Interval of the mean over N units (for paired designs: of their differences).

    `percentile` as in Efron & Tibshirani (1993), ch. 13; `studentised` is the bootstrap-t of ch. 12.
    By default `studentised`, and with 4 or 5 units `Student's t`. Below 4 units, or with so many ties that resamples
    have no spread, `studentised` falls back on `percentile` (which at 3 units is the range: print the values instead);
    the result names the method used.

    Raises:
        InputError: fewer than 2 units.
    """
    values_N = np.asarray(values_N, dtype=np.float64)
    size = len(values_N)
    if size < 2:
        raise InputError(f"an interval needs at least 2 units, there are {size}")
    if method is None:
        method = "Student's t" if FEWEST_UNITS <= size < FEWEST_STUDENTISED else "studentised"
    if method == "studentised" and size < FEWEST_UNITS:
        method = "percentile"
    low, high = _bounds(values_N[None], rng, method, level, resamples)[0]
    if not np.isfinite([low, high]).all():
        method = "percentile"
        low, high = _bounds(values_N[None], rng, method, level, resamples)[0]
    coverage = measured_coverage(method, size, level)
    return Interval(float(values_N.mean()), float(low), float(high), level, method, size, coverage)


def end_interval(method: str, values_N: FloatArray) -> Interval:
    """Interval of a method's end of chain over N seeds, in order of seeds: README, tables, figures and reports print
    the same bounds for the same chains; they are shares, and so are the bounds. Raises InputError below 2 seeds."""
    found = mean_interval(values_N, stream("paper", "end of chain", method))
    return replace(found, low=max(0.0, found.low), high=min(1.0, found.high))


def cluster_interval(
    clusters: Sequence[FloatArray], rng: np.random.Generator, level: float = 0.95, resamples: int = RESAMPLES
) -> Interval:
    """Interval of the mean over all members of clusters (campaigns pooled over seeds), whole clusters resampled
    (percentile).

    Raises:
        InputError: fewer than 2 clusters that have members.
    """
    filled = [np.asarray(c, dtype=np.float64) for c in clusters if len(c)]
    if len(filled) < 2:
        raise InputError(f"a cluster bootstrap needs at least 2 clusters, there are {len(filled)}")
    sums_N, sizes_N = np.array([c.sum() for c in filled]), np.array([len(c) for c in filled])
    picked_BN = rng.integers(len(filled), size=(resamples, len(filled)))
    means_B = sums_N[picked_BN].sum(axis=1) / sizes_N[picked_BN].sum(axis=1)
    low, high = np.quantile(means_B, [(1 - level) / 2, (1 + level) / 2])
    estimate = float(sums_N.sum() / sizes_N.sum())
    coverage = measured_coverage("percentile", len(filled), level)
    return Interval(estimate, float(low), float(high), level, "cluster percentile", len(filled), coverage)


def iqm(values_N: FloatArray) -> float:
    """Interquartile mean: the mean without the lowest and the highest quarter (rounded down; Agarwal et al. 2021)."""
    from scipy.stats import trim_mean

    return float(trim_mean(values_N, 0.25))


def proportion_interval(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Clopper-Pearson: exact, so at least `level` by construction."""
    from scipy.stats import binomtest

    ci = binomtest(successes, trials).proportion_ci(confidence_level=level, method="exact")
    return Interval(successes / trials, float(ci.low), float(ci.high), level, "Clopper-Pearson", trials, level)


@lru_cache(maxsize=256)
def measured_coverage(method: Method, units: int, level: float = 0.95, sets: int = 1000, resamples: int = 500) -> float:
    """Share of `sets` simulated normal samples of `units` whose interval covers the true mean (standard error < 0.016).

    Above 40 units the one for 40 is given.
    """
    units = min(units, 40)
    rng = stream("coverage", method, units, str(level))
    samples_MN = rng.standard_normal((sets, units))
    bounds_M2 = np.concatenate(
        [_bounds(part, rng, method, level, resamples) for part in np.array_split(samples_MN, 20)]
    )
    return float(np.mean((bounds_M2[:, 0] <= 0) & (bounds_M2[:, 1] >= 0)))


def _bounds(
    samples_MN: FloatArray, rng: np.random.Generator, method: Method, level: float, resamples: int
) -> FloatArray:
    """(low, high) for each of M samples of N units, M x 2; the same resampled indices serve all M."""
    size = samples_MN.shape[1]
    if method == "Student's t":
        from scipy.stats import t as student_t

        half_M1 = student_t.ppf(0.5 + level / 2, size - 1) * samples_MN.std(axis=1, ddof=1, keepdims=True) / size**0.5
        return np.asarray(samples_MN.mean(axis=1, keepdims=True) + np.array([-1.0, 1.0]) * half_M1)
    picked_BN = rng.integers(size, size=(resamples, size))
    again_MBN = samples_MN[:, picked_BN]
    means_MB = again_MBN.mean(axis=2)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "percentile":
        return np.asarray(np.quantile(means_MB, tails, axis=1).T)
    means_M = samples_MN.mean(axis=1)
    errors_M1 = samples_MN.std(axis=1, ddof=1, keepdims=True) / np.sqrt(size)
    deviations_MB = means_MB - means_M[:, None]
    again_errors_MB = again_MBN.std(axis=2, ddof=1) / np.sqrt(size)
    again_errors_MB[again_errors_MB < ROUNDING * errors_M1] = 0.0
    deviations_MB[np.abs(deviations_MB) < ROUNDING * errors_M1] = 0.0
    # A resample without spread has t = +-inf, or 0 where its mean is the sample's: both sort to where they belong.
    with np.errstate(divide="ignore", invalid="ignore"):
        t_MB = np.nan_to_num(deviations_MB / again_errors_MB, nan=0.0, posinf=np.inf, neginf=-np.inf)
    t_M2 = np.quantile(t_MB, tails[::-1], axis=1, method="inverted_cdf").T
    return np.asarray(
        means_M[:, None] - np.where(errors_M1 <= ROUNDING * np.abs(means_M[:, None]), 0.0, t_M2 * errors_M1)
    )
