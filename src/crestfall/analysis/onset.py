"""When did the fall begin? Two readings, because the source leaves the rule open."""

from __future__ import annotations

import numpy as np

from crestfall.analysis.trajectory import FloatArray

FALL_FOR_GOOD = 0.1
ROUNDING = 1e-9


def largest_fall(values_S: FloatArray, peak: int, half_width: int = 1) -> int | None:
    """Reading A: the index after the largest single-step fall, argmax over t > peak of (p_{t-1} - p_t); ties: earliest.

    With `half_width` k > 1 the fall at t is that of the mean of the k values before t to the mean of the k from t on
    (fewer at the ends): for curves so noisy that one step says nothing. None: nothing falls after the peak.
    """
    size = len(values_S)
    at_T = np.arange(peak + 1, size)
    if not len(at_T):
        return None
    sums_S = np.concatenate([[0.0], np.cumsum(values_S - values_S[0])])
    low_T, high_T = np.maximum(at_T - half_width, 0), np.minimum(at_T + half_width, size)
    falls_T = (sums_S[at_T] - sums_S[low_T]) / (at_T - low_T) - (sums_S[high_T] - sums_S[at_T]) / (high_T - at_T)
    largest = float(falls_T.max())
    if largest <= ROUNDING:
        return None
    return int(at_T[np.argmax(falls_T >= largest - ROUNDING)])


def left_for_good(values_S: FloatArray, peak: int, margin: float = FALL_FOR_GOOD) -> int | None:
    """Reading B: the first index after the peak from which on every value is more than `margin` below the peak.

    None: the last value is within the margin.
    """
    below_S = values_S[peak:] < values_S[peak] - margin - ROUNDING
    if not below_S[-1]:
        return None
    return peak + len(below_S) - int(np.argmin(below_S[::-1]))
