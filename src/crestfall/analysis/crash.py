"""Did the curve crash and come back? A scan for a valley between two higher stretches, as `scan` looks for a fall.

The statistic is the largest over all valleys, of the smaller of two drops in units of their noise: from any window
before to the valley, and from any window after back to it. The null is a plateau with the same noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from crestfall.analysis.levels import moving_average
from crestfall.analysis.noise import FEWEST_FOR_CORRELATION, Noise, ar1, deepest_valley, sigma_of, window_means, windows
from crestfall.analysis.scan import QUESTIONS
from crestfall.analysis.trajectory import FloatArray
from crestfall.core.rng import stream

REPLICATES = 399
MOST_CORRELATION = 0.2
"""The correlation assumed for short curves, where the estimate (`noise.correlation`) is lower. A slow wander that is
mistaken for a fall and a recovery would have to be deeper than a collapse, too, which it hardly ever is."""


@dataclass(frozen=True)
class Crash:
    """`depth`: of the smoothed curve's deepest valley below the lower of its two sides; `index`: where it is."""

    depth: float
    index: int
    p_value: float


def crash_of(curve_S: FloatArray, noise: Noise, width: int, deep: float) -> Crash:
    """The deepest valley. Its p-value is worked out where it is deeper than `deep`, and 1 elsewhere."""
    index, depth = deepest_valley(moving_average(curve_S, width))
    if depth <= deep or len(curve_S) < 5:
        return Crash(depth, index, 1.0)
    sigma = float(np.median(noise.sigma_S)) if noise.known else float(sigma_of(curve_S[None])[0])
    observed = float(valley_statistic(curve_S[None] / max(sigma, 1e-9 * depth))[0])
    short = len(curve_S) < FEWEST_FOR_CORRELATION
    rho = min(noise.correlation, MOST_CORRELATION) if short else noise.correlation
    null_B = _null(len(curve_S), round(20 * rho), noise.known)
    return Crash(depth, index, min(1.0, QUESTIONS * float((1 + np.sum(null_B >= observed)) / (1 + len(null_B)))))


@lru_cache(maxsize=512)
def _null(size: int, twentieths: int, known: bool) -> FloatArray:
    plateaus_BS = ar1(stream("valley", size), REPLICATES, size, twentieths / 20)
    sigma_B = np.ones(REPLICATES) if known else np.maximum(sigma_of(plateaus_BS), 1e-9)
    return valley_statistic(plateaus_BS / sigma_B[:, None])


def valley_statistic(values_BS: FloatArray) -> FloatArray:
    """One number per row, of values in units of their noise; windows of 1, 2, 4, ... points."""
    rows, size = values_BS.shape
    lengths = windows(size)
    means = window_means(values_BS, lengths)
    highest = {w: np.maximum.accumulate(mean, axis=1) for w, mean in means.items()}
    after = {w: np.maximum.accumulate(mean[:, ::-1], axis=1)[:, ::-1] for w, mean in means.items()}
    best_B = np.zeros(rows)
    for length, valley_BI in means.items():
        begin_I = np.arange(valley_BI.shape[1])
        fell_BI = np.full(valley_BI.shape, -np.inf)
        rose_BI = np.full(valley_BI.shape, -np.inf)
        for w in lengths:
            sd = np.sqrt(1 / w + 1 / length)
            left_I = begin_I[begin_I >= w]
            fell_BI[:, left_I] = np.maximum(fell_BI[:, left_I], (highest[w][:, left_I - w] - valley_BI[:, left_I]) / sd)
            right_I = begin_I[begin_I + length + w <= size]
            drop_BI = (after[w][:, right_I + length] - valley_BI[:, right_I]) / sd
            rose_BI[:, right_I] = np.maximum(rose_BI[:, right_I], drop_BI)
        best_B = np.maximum(best_B, np.minimum(fell_BI, rose_BI).max(axis=1))
    return best_B
