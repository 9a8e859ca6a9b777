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
    best, found = 0.0, None
    for t in range(peak + 1, len(values_S)):
        before = values_S[max(0, t - half_width) : t].mean()
        fall = float(before - values_S[t : t + half_width].mean())
        if fall > best + ROUNDING:
            best, found = fall, t
    return found


def left_for_good(values_S: FloatArray, peak: int, margin: float = FALL_FOR_GOOD) -> int | None:
    """Reading B: the first index after the peak from which on every value is more than `margin` below the peak.

    None: the last value is within the margin.
    """
    below_S = values_S[peak:] < values_S[peak] - margin - ROUNDING
    if not below_S[-1]:
        return None
    return peak + len(below_S) - int(np.argmin(below_S[::-1]))
