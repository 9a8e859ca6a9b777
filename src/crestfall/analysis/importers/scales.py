"""One scale for one curve: a share that is a fraction in one part of the log and in percent in the other."""

from __future__ import annotations

import numpy as np

from crestfall.analysis.trajectory import FloatArray, IntArray

PERCENT = 100.0
LEAST_JUMP, MOST_JUMP = 25.0, 400.0
NEIGHBOURS = 5
FEWEST = 2


def in_fractions(steps_S: IntArray, values_S: FloatArray) -> tuple[FloatArray, str]:
    """Values, those in percent divided by 100, and a note; as they are, and no note, unless a curve within [0, 1]
    changes once, from one point to the next, to a hundred times its level (or back)."""
    high_S = values_S > 1
    if not high_S.any() or high_S.all() or values_S.min() < 0 or values_S.max() > PERCENT:
        return values_S, ""
    with np.errstate(divide="ignore", invalid="ignore"):
        jumps_S = values_S[1:] / values_S[:-1]
    up_S = high_S[1:] & ~high_S[:-1] & (jumps_S > LEAST_JUMP)
    down_S = ~high_S[1:] & high_S[:-1] & (jumps_S < 1 / LEAST_JUMP) & (values_S[1:] > 0)
    up, down = np.flatnonzero(up_S), np.flatnonzero(down_S)
    cuts = [(int(i) + 1, True) for i in up if not high_S[: i + 1].any()]
    cuts += [(int(i) + 1, False) for i in down if not high_S[i + 1 :].any()]
    if len(cuts) != 1:
        return values_S, ""
    cut, after = cuts[0]
    percent_S, fraction_S = (values_S[cut:], values_S[:cut][::-1]) if after else (values_S[:cut][::-1], values_S[cut:])
    if min(len(percent_S), len(fraction_S)) < FEWEST:
        return values_S, ""
    ratio = np.median(percent_S[:NEIGHBOURS]) / max(np.median(fraction_S[:NEIGHBOURS]), 1e-9)
    if not LEAST_JUMP < ratio < MOST_JUMP:
        return values_S, ""
    out_S = values_S.copy()
    where = slice(cut, None) if after else slice(None, cut)
    out_S[where] /= PERCENT
    side = f"from step {steps_S[cut]} on" if after else f"before step {steps_S[cut]}"
    return out_S, f"in percent {side}, a fraction elsewhere: divided by 100 there"
