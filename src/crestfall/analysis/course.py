"""Course of a fall: the steps as good as the peak, the beginning and the end of the fall, and whether it had a cliff.

All of it is read off the smoothed curve, and compared with what noise alone does: steps are as good as the peak where
the curve is within its noise of it, and a fall has a cliff where more than half of it is at one place, and more than on
95% of straight falls of the same size, length and noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crestfall.analysis.classify import Classification
from crestfall.analysis.levels import moving_average
from crestfall.analysis.noise import bin_means, unit_noise, window_means
from crestfall.analysis.scan import SIGNIFICANCE
from crestfall.analysis.trajectory import FloatArray, IntArray

REPLICATES = 199
AS_GOOD = 1.96
APART = 3.0
"""Standard errors below the peak at which a step is no longer as good, and at which a stretch of good steps ends."""
DONE = 0.9


@dataclass(frozen=True)
class Peak:
    """Indices: where the curve first reaches its peak's level, and the stretch of steps around it that are as good."""

    index: int
    first: int
    last: int


@dataclass(frozen=True)
class Cliff:
    """`share` of the fall at one place (between neighbouring means), the 95% that straight falls stay within, and the
    p-value against them. `index`: the first point after it. `is_one`: it is more than half of the fall, and more than
    a straight fall shows."""

    index: int
    share: float
    null_high: float
    p_value: float

    @property
    def is_one(self) -> bool:
        return self.p_value < SIGNIFICANCE and self.share > 0.5


@dataclass(frozen=True)
class Course:
    """`began`: the first index of the fall, `done`: where 90% of it are over. `cliff` None: the fall is too short."""

    began: int
    done: int
    cliff: Cliff | None


def curve_of(values_S: FloatArray) -> tuple[FloatArray, IntArray]:
    """The curve as the classifier sees it (long ones averaged into 100 points), and the index of each point's first
    value."""
    curve_S = bin_means(values_S)
    if len(curve_S) == len(values_S):
        return curve_S, np.arange(len(values_S))
    return curve_S, np.linspace(0, len(values_S), len(curve_S) + 1).astype(np.int64)[:-1]


def standard_error(c: Classification) -> float:
    """Standard error of a point of the smoothed curve; 0 if it is unknown."""
    if np.isnan(c.noise):
        return 0.0
    rho = c.correlation
    return float(c.noise * np.sqrt(min((1 + rho) / (1 - rho) / c.smoothing, 1.0)))


def peak_of(curve_S: FloatArray, c: Classification) -> Peak:
    """The peak of a curve. Of a ceiling it is the step that reaches it, not the highest noise."""
    smooth_S = moving_average(curve_S, c.smoothing)
    error = standard_error(c)
    level = min(c.levels.peak.value, float(smooth_S.max()))
    index = int(np.flatnonzero(smooth_S >= level)[0])
    good_S, apart_S = smooth_S >= level - AS_GOOD * error, smooth_S < level - APART * error
    left = np.flatnonzero(apart_S[:index])
    right = np.flatnonzero(apart_S[index:])
    begin = int(left[-1]) + 1 if len(left) else 0
    end = index + int(right[0]) if len(right) else len(smooth_S)
    good = begin + np.flatnonzero(good_S[begin:end])
    return Peak(index, int(good[0]), int(good[-1]))


def course_of(curve_S: FloatArray, peak: Peak, c: Classification) -> Course:
    """Course of a curve that fell from `peak` to its end."""
    smooth_S = moving_average(curve_S, c.smoothing)
    level, error = float(smooth_S[peak.index]), standard_error(c)
    good = np.flatnonzero(smooth_S >= level - AS_GOOD * error)
    began = min(int(good[-1]) + 1, len(curve_S) - 1)
    over = np.flatnonzero(smooth_S[began:] <= level - DONE * (level - smooth_S[-1]))
    done = began + int(over[0]) if len(over) else len(curve_S) - 1
    cliff = _cliff(curve_S, began, done, c)
    if cliff is not None and cliff.is_one:
        began = cliff.index
    return Course(began, max(done, began), cliff)


def _cliff(curve_S: FloatArray, began: int, done: int, c: Classification) -> Cliff | None:
    """Looked for from a little before the fall begins on the smoothed curve, which blurs it, to its end."""
    half = c.smoothing
    offset = max(0, began - 3 * half)
    piece_S = curve_S[offset : done + 2 * half + 1]
    half = min(half, len(piece_S) // 2)
    if half < 1:
        return None
    drops_S = _drops(piece_S[None], half)[0]
    level, end = float(piece_S[:half].mean()), float(piece_S[-half:].mean())
    if level <= end:
        return None
    # A straight fall from where it begins to where it ends on the smoothed curve, three points long at least.
    start, stop = began - offset, max(done, began + 2) - offset
    x_S = np.clip((np.arange(len(piece_S)) - start + 1) / (stop - start + 1), 0, 1)
    noise_BS = c.noise * unit_noise("straight fall", REPLICATES, len(piece_S), round(20 * c.correlation))
    null_B = _drops(level - (level - end) * x_S + noise_BS, half).max(axis=1) / (level - end)
    share = float(drops_S.max()) / (level - end)
    p_value = float((1 + np.sum(null_B >= share)) / (1 + REPLICATES))
    index = offset + int(drops_S.argmax()) + half
    return Cliff(index, min(share, 1.0), min(float(np.quantile(null_B, 0.95)), 1.0), p_value)


def _drops(values_BS: FloatArray, half: int) -> FloatArray:
    """Mean of `half` points less the mean of the `half` points after them, for every place between two points."""
    means_BS = window_means(values_BS, [half])[half]
    return np.asarray(means_BS[:, :-half] - means_BS[:, half:])
