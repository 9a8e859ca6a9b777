"""One signal as an alarm, in a regime that its threshold has never seen.

1. *Compared within steps.* At each step a value counts in units of its spread among the chains of the other regimes
   that do not fall: (value - median) / (interquartile range / 1.35). What merely grows with time is taken out.
2. *Threshold.* Of each such chain the largest value over all its landmarks. With the k-th largest of n such maxima as
   threshold, one more chain of the same kind has an alarm with probability k / (n + 1); k is the largest for which this
   is at most 5%. So false alarms are counted in whole runs, not in steps.
3. *Direction.* High or low values: whichever announces more of the other regimes' falls.
4. *The regime that was left out.* The first landmark above the threshold is the alarm.
"""

from __future__ import annotations

import numpy as np

from research.early_warning.panel import BoolArray, FloatArray, IntArray, Panel

FALSE_ALARMS = 0.05
FEWEST = 8
"""Chains that a step needs for a spread; later steps take those of the last one that has them."""


def alarms(values_CS: FloatArray, panel: Panel) -> IntArray:
    """The step of each chain's alarm, its regime left out of everything that was fitted; 0: none."""
    out_C = np.zeros(len(panel.chains), dtype=np.int64)
    for inside_C, others_C in panel.held_out():
        out_C[inside_C] = fitted(values_CS, panel, others_C)[inside_C]
    return out_C


def fitted(values_CS: FloatArray, panel: Panel, others_C: BoolArray) -> IntArray:
    """Alarms of all chains with what `others_C` say."""
    z_CS = standardised(values_CS, panel, others_C & panel.quiet_C)
    both = [_above(sign * z_CS, panel, others_C & panel.quiet_C) for sign in (1.0, -1.0)]
    return max(both, key=lambda alarm_C: np.count_nonzero(alarm_C[others_C & panel.warnable_C]))


def standardised(values_CS: FloatArray, panel: Panel, quiet_C: BoolArray) -> FloatArray:
    """Values in units of the spread among `quiet_C` at the same step; NaN where there is no landmark."""
    seen_CS = np.where(panel.open_CS, values_CS, np.nan)
    ordered_NS = np.sort(seen_CS[quiet_C], axis=0)  # what was not measured comes last
    count_S = np.count_nonzero(~np.isnan(ordered_NS), axis=0)
    low_S, center_S, high_S = (_quantile(ordered_NS, count_S, q) for q in (0.25, 0.5, 0.75))
    # Most chains may have one and the same value.
    spread_S = np.maximum((high_S - low_S) / 1.349, 0.1 * _deviation(ordered_NS))
    from_S = np.maximum.accumulate(np.where(count_S >= FEWEST, np.arange(len(count_S)), 0))
    center_S, spread_S = center_S[from_S], spread_S[from_S]
    return np.asarray((seen_CS - center_S) / np.where(spread_S > 0, spread_S, 1.0))


def _quantile(ordered_NS: FloatArray, count_S: IntArray, q: float) -> FloatArray:
    """Of each column's first `count_S` values, as numpy's; 0 for a column without values."""
    place_S = q * np.maximum(count_S - 1, 0)
    below_S = np.floor(place_S).astype(np.int64)
    low_S, high_S = (
        np.take_along_axis(ordered_NS, at_S[None], axis=0)[0] for at_S in (below_S, np.ceil(place_S).astype(np.int64))
    )
    return np.where(count_S > 0, low_S + (place_S - below_S) * (high_S - low_S), 0.0)


def _deviation(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.std()) if len(known) else 0.0


def _above(z_CS: FloatArray, panel: Panel, quiet_C: BoolArray) -> IntArray:
    highest_C = np.nan_to_num(z_CS, nan=-np.inf).max(axis=1)
    maxima = np.sort(highest_C[quiet_C])[::-1]
    allowed = int(FALSE_ALARMS * (len(maxima) + 1))
    threshold = maxima[allowed - 1] if allowed else np.inf
    above_CS = z_CS > threshold
    return np.where(above_CS.any(axis=1), above_CS.argmax(axis=1), 0)
