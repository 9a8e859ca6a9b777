"""Robust summaries over few seeds, after Agarwal et al. (2021), "Deep RL at the Edge of the Statistical Precipice".

Interquartile mean and probability of improvement, each with a percentile bootstrap over seeds, resampled within each
arm (their "stratified" bootstrap). As everywhere, an interval carries the coverage measured for its number of seeds.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from crestfall.analysis.bootstrap import RESAMPLES, Interval, iqm
from crestfall.analysis.compare import probability_of_improvement
from crestfall.analysis.trajectory import FloatArray
from crestfall.core.errors import InputError
from crestfall.core.rng import stream


def iqm_interval(
    values_N: FloatArray, rng: np.random.Generator, level: float = 0.95, resamples: int = RESAMPLES
) -> Interval:
    """Interval of the interquartile mean over N seeds. Raises InputError below 2."""
    values_N = np.asarray(values_N, dtype=np.float64)
    if len(values_N) < 2:
        raise InputError(f"an interval needs at least 2 units, there are {len(values_N)}")
    low, high = _iqm_bounds(values_N[None], rng, level, resamples)[0]
    coverage = iqm_coverage(len(values_N), level)
    return Interval(iqm(values_N), float(low), float(high), level, "IQM, percentile", len(values_N), coverage)


def improvement_interval(
    x_N: FloatArray, y_M: FloatArray, rng: np.random.Generator, level: float = 0.95, resamples: int = RESAMPLES
) -> Interval:
    """Interval of P(X > Y) + P(X = Y) / 2. If all of one arm lie above all of the other it is one point, whatever the
    truth: no resample can show what was not seen. Raises InputError below 2 seeds an arm."""
    x_N, y_M = np.asarray(x_N, dtype=np.float64), np.asarray(y_M, dtype=np.float64)
    if min(len(x_N), len(y_M)) < 2:
        raise InputError(f"an interval needs at least 2 units, there are {min(len(x_N), len(y_M))}")
    low, high = _improvement_bounds(x_N[None], y_M[None], rng, level, resamples)[0]
    units = min(len(x_N), len(y_M))
    coverage = improvement_coverage(len(x_N), len(y_M), level)
    estimate = probability_of_improvement(x_N, y_M)
    return Interval(estimate, float(low), float(high), level, "P(improvement), percentile", units, coverage)


@lru_cache(maxsize=64)
def iqm_coverage(units: int, level: float = 0.95, sets: int = 400, resamples: int = 400) -> float:
    """Coverage of the interval: how often it contains the true IQM of a normal population (standard error about
    0.015)."""
    rng = stream("IQM coverage", units, str(level))
    bounds_M2 = _iqm_bounds(rng.standard_normal((sets, min(units, 40))), rng, level, resamples)
    return float(np.mean((bounds_M2[:, 0] <= 0) & (bounds_M2[:, 1] >= 0)))


@lru_cache(maxsize=64)
def improvement_coverage(n: int, m: int, level: float = 0.95, sets: int = 400, resamples: int = 400) -> float:
    """Coverage of the interval: how often it contains 1/2 if both arms are the same normal population."""
    rng = stream("improvement coverage", n, m, str(level))
    samples = rng.standard_normal((sets, min(n, 40))), rng.standard_normal((sets, min(m, 40)))
    bounds_M2 = _improvement_bounds(*samples, rng, level, resamples)
    return float(np.mean((bounds_M2[:, 0] <= 0.5) & (bounds_M2[:, 1] >= 0.5)))


def _iqm_bounds(samples_MN: FloatArray, rng: np.random.Generator, level: float, resamples: int) -> FloatArray:
    from scipy.stats import trim_mean

    size = samples_MN.shape[1]
    picked_BN = rng.integers(size, size=(resamples, size))
    return _quantiles(np.asarray(trim_mean(samples_MN[:, picked_BN], 0.25, axis=2)), level)


def _improvement_bounds(
    x_KN: FloatArray, y_KM: FloatArray, rng: np.random.Generator, level: float, resamples: int
) -> FloatArray:
    """K pairs of samples at once. A resample is how often each seed was drawn: its statistic is bilinear in that."""
    n, m = x_KN.shape[1], y_KM.shape[1]
    wins_KNM = (x_KN[:, :, None] > y_KM[:, None, :]) + (x_KN[:, :, None] == y_KM[:, None, :]) / 2
    drawn_BN = rng.multinomial(n, np.full(n, 1 / n), size=resamples) / n
    drawn_BM = rng.multinomial(m, np.full(m, 1 / m), size=resamples) / m
    return _quantiles(np.einsum("bn,knm,bm->kb", drawn_BN, wins_KNM, drawn_BM, optimize=True), level)


def _quantiles(statistic_MB: FloatArray, level: float) -> FloatArray:
    return np.asarray(np.quantile(statistic_MB, [(1 - level) / 2, (1 + level) / 2], axis=1).T)
