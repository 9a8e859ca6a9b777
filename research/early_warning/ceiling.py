"""What any signal could know, from forks of one state: the share that falls, and what an oracle of it announces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from research.early_warning.detector import FALSE_ALARMS
from research.early_warning.panel import BoolArray, FloatArray
from research.early_warning.states import State


def fallen(states: Sequence[State]) -> BoolArray:
    """[N states, F forks]"""
    return np.array([state.fallen for state in states], dtype=bool)


def oracle(states: Sequence[State]) -> tuple[float, float]:
    """The share of falling forks that lie in the states an oracle points at. It points at states by their share of
    falling forks, the highest first, as long as at most 5% of the other forks lie there too.

    First with the share of all forks of a state, which are also those that score (too high: chance counts as
    knowledge); then with that of one half of its forks, scored on the other half (too low: the share is an estimate).
    """
    fallen_NF = fallen(states)
    first, second = fallen_NF[:, ::2], fallen_NF[:, 1::2]
    return _announced(fallen_NF, fallen_NF), (_announced(first, second) + _announced(second, first)) / 2


def _announced(known_NF: BoolArray, scored_NF: BoolArray) -> float:
    share_N = known_NF.mean(axis=1)
    falls_N, stays_N = scored_NF.sum(axis=1), (~scored_NF).sum(axis=1)
    best = 0.0
    for least in np.unique(share_N):
        chosen_N = share_N >= least
        if stays_N[chosen_N].sum() <= FALSE_ALARMS * stays_N.sum():
            best = max(best, _ratio(falls_N[chosen_N].sum(), falls_N.sum()))
    return best


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0


def spread_of(shares_N: FloatArray) -> tuple[int, int, int]:
    """States of which no fork falls, some do, all do."""
    none, every = np.count_nonzero(shares_N == 0), np.count_nonzero(shares_N == 1)
    return int(none), len(shares_N) - int(none) - int(every), int(every)
