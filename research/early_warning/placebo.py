"""Signals that know nothing, or nothing of the chain itself, for the same pipeline."""

from __future__ import annotations

import numpy as np

from crestfall.core.rng import stream
from research.early_warning.panel import FloatArray, Panel


def clock(panel: Panel) -> FloatArray:
    return np.broadcast_to(np.arange(panel.open_CS.shape[1], dtype=float), panel.open_CS.shape).copy()


def noise(panel: Panel, number: int) -> FloatArray:
    return stream("placebo", "noise", number).normal(size=panel.open_CS.shape)


def random_walk(panel: Panel, number: int) -> FloatArray:
    return np.cumsum(stream("placebo", "walk", number).normal(size=panel.open_CS.shape), axis=1)


def permuted(values_CS: FloatArray, panel: Panel, number: int) -> FloatArray:
    """Each chain with the values of any other, as far as that one had not fallen."""
    order_C = stream("placebo", "permuted", number).permutation(len(panel.chains))
    return _until_its_fall(values_CS, panel)[order_C]


def swapped(values_CS: FloatArray, panel: Panel, shift: int) -> FloatArray:
    """Each chain with the values of another seed of the same regime and rate: they know the arm, and not the chain."""
    out_CS, own_CS = np.full(values_CS.shape, np.nan), _until_its_fall(values_CS, panel)
    for arm in np.unique(panel.arms_C):
        places = np.flatnonzero(panel.arms_C == arm)
        if len(places) > 1:
            out_CS[places] = own_CS[np.roll(places, 1 + shift % (len(places) - 1))]
    return out_CS


def _until_its_fall(values_CS: FloatArray, panel: Panel) -> FloatArray:
    return np.where(panel.open_CS, values_CS, np.nan)
