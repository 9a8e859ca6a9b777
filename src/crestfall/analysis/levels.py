"""Estimate the levels of the start, the peak and the end of a curve, corrected for noise.

A maximum of noisy values lies above the level that it was drawn from. The parametric bootstrap says how far: noise of
the curve's own size and autocorrelation is put on its best rise-then-fall fit, and the same estimate is made again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crestfall.analysis.noise import Noise, unimodal_fit, unit_noise
from crestfall.analysis.trajectory import FloatArray

REPLICATES = 399


@dataclass(frozen=True)
class Estimate:
    """`value` without the bias that noise gives it, and its 95% basic bootstrap interval; NaN where the noise is not
    known at all."""

    value: float
    low: float
    high: float

    @property
    def interval(self) -> tuple[float, float] | None:
        """None: nothing is known of the noise."""
        return None if np.isnan(self.low) else (self.low, self.high)


@dataclass(frozen=True)
class Levels:
    """Levels of the smoothed curve: `rise` from start to peak, `fall` from peak to end."""

    start: Estimate
    peak: Estimate
    end: Estimate
    rise: Estimate
    fall: Estimate


def without_intervals(of: Levels) -> Levels:
    """The same values, of which it is not known how noisy they are."""
    nan = float("nan")
    return Levels(*(replace(e, low=nan, high=nan) for e in (of.start, of.peak, of.end, of.rise, of.fall)))


def within_unit(of: Levels) -> Levels:
    """Start, peak and end of shares: taking the bias of noise away leads below 0 where nothing passes, and a share that
    is below 0 cannot be read. A movement is no larger than the peak, and no smaller than where it leads to allows."""
    start, peak, end = _clipped(of.start), _clipped(of.peak), _clipped(of.end)
    rise, fall = _bounded(of.rise, -start.value, peak.value), _bounded(of.fall, -end.value, peak.value)
    return replace(of, start=start, peak=peak, end=end, rise=rise, fall=fall)


def _bounded(e: Estimate, least: float, most: float) -> Estimate:
    value = float(np.clip(e.value, least, most))
    return Estimate(value, min(e.low, value), max(e.high, value))


def _clipped(e: Estimate) -> Estimate:
    return Estimate(*(float(np.clip(x, 0.0, 1.0)) for x in (e.value, e.low, e.high)))


def levels(
    curve_S: FloatArray, noise: Noise, width: int, least_rise: float = -np.inf, least_fall: float = -np.inf
) -> Levels:
    """`width`: of the moving average (1: none). `least_rise` and `least_fall`: what the tests of `scan` leave possible;
    the intervals of rise and fall begin there, so that they hold 0 exactly where the p-value is 0.05 or more."""
    fit_S = unimodal_fit(curve_S)
    noise_BS = unit_noise("levels", REPLICATES, len(curve_S), round(20 * noise.correlation)) * noise.sigma_S
    errors_BL = _measured(fit_S + noise_BS, width) - _measured(fit_S[None], width)
    measured_L = _measured(curve_S[None], width)[0]
    low_L, high_L = measured_L - np.quantile(errors_BL, [0.975, 0.025], axis=0)
    value_L = measured_L - errors_BL.mean(axis=0)
    start, peak, end, rise, fall = (
        Estimate(float(v), float(a), float(b)) for v, a, b in zip(value_L, low_L, high_L, strict=True)
    )
    return Levels(start, peak, end, _from(rise, least_rise), _from(fall, least_fall))


def _from(movement: Estimate, least: float) -> Estimate:
    """The estimate, its interval beginning above 0 exactly where a test leaves nothing else possible."""
    if least > 0:
        low = movement.low if movement.low > 0 else min(least, movement.value)
    else:
        low = min(movement.low, movement.value, 0.0) if np.isfinite(least) else movement.low
    return Estimate(movement.value, low, max(movement.high, movement.value))


def smoothing_width(size: int) -> int:
    """Width of the moving average for unknown noise: odd, a twentieth of the curve, at least 3 (a single point is
    never a level); 1 below 5 points."""
    return 1 if size < 5 else max(3, 2 * (size // 40) + 1)


def moving_average(values_S: FloatArray, width: int) -> FloatArray:
    """Centred, along the last axis, with shorter windows at the ends."""
    half, size = width // 2, values_S.shape[-1]
    sums = np.concatenate([np.zeros((*values_S.shape[:-1], 1)), np.cumsum(values_S, axis=-1)], axis=-1)
    index_S = np.arange(size)
    low_S, high_S = np.maximum(index_S - half, 0), np.minimum(index_S + half + 1, size)
    return np.asarray((sums[..., high_S] - sums[..., low_S]) / (high_S - low_S))


def _measured(values_BS: FloatArray, width: int) -> FloatArray:
    """Start, peak, end, rise and fall of each row's moving average, rows x 5."""
    smooth_BS = moving_average(values_BS, width)
    start_B, peak_B, end_B = smooth_BS[:, 0], smooth_BS.max(axis=1), smooth_BS[:, -1]
    return np.stack([start_B, peak_B, end_B, peak_B - start_B, peak_B - end_B], axis=1)
