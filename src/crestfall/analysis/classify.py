"""What became of a run: rise_and_collapse, collapse, rise, flat or decline. docs/classes.md explains the rule.

A movement (the rise from start to peak, the fall from peak to end; on the smoothed curve, less the bias that noise
gives a maximum) counts when it is real (its p-value against the plateau null is below 0.05), not negligible (2% of the
scale), and not a mere ripple on the other movement: at least a third of it, or more than 0.2 of the scale in its own
right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from crestfall.analysis.levels import Levels, levels, smoothing_width
from crestfall.analysis.measures import COLLAPSE
from crestfall.analysis.noise import bin_means, noise_of
from crestfall.analysis.scan import REPLICATES, p_value_of_fall, p_value_of_rise
from crestfall.analysis.trajectory import FloatArray

CurveClass = Literal["rise_and_collapse", "collapse", "rise", "flat", "decline"]
CLASSES: tuple[CurveClass, ...] = ("rise_and_collapse", "collapse", "rise", "flat", "decline")

SIGNIFICANCE = 0.05
NEGLIGIBLE = 0.02
RIPPLE = 1 / 3


@dataclass(frozen=True)
class Classification:
    """`levels` are those of the smoothed curve, `smoothing` the width of its moving average (1: none), `scale` what
    thresholds are a share of: 1 for scores within [0, 1], else the largest absolute value. `noise` is the (median)
    standard deviation of a point, `correlation` that of neighbours."""

    label: CurveClass
    levels: Levels
    p_rise: float
    p_fall: float
    smoothing: int
    scale: float
    noise: float
    correlation: float


def classify(values_S: FloatArray, errors_S: FloatArray | None = None, replicates: int = REPLICATES) -> Classification:
    """`errors_S`: standard errors of the values where the evaluation's sample counts are known.

    Curves of more than 100 points are averaged into 100 first.
    """
    curve_S = bin_means(values_S)
    noise = noise_of(curve_S, errors_S if len(curve_S) == len(values_S) else None)
    scale = scale_of(values_S)
    width = 1 if noise.known else smoothing_width(len(curve_S))
    of = levels(curve_S, noise, width)
    p_rise, p_fall = p_value_of_rise(curve_S, noise, replicates), p_value_of_fall(curve_S, noise, replicates)
    rose = counts(of.rise.value, of.fall.value, p_rise, scale)
    fell = counts(of.fall.value, of.rise.value, p_fall, scale)
    label: CurveClass
    if rose and fell:
        label = "rise_and_collapse"
    elif fell:
        label = "collapse" if of.fall.value > COLLAPSE * scale else "decline"
    else:
        label = "rise" if rose else "flat"
    return Classification(label, of, p_rise, p_fall, width, scale, float(np.median(noise.sigma_S)), noise.correlation)


def counts(size: float, other: float, p_value: float, scale: float) -> bool:
    """Does a movement count, given the size of the opposite one?"""
    real = p_value < SIGNIFICANCE
    return real and size >= NEGLIGIBLE * scale and (size >= RIPPLE * other or size > COLLAPSE * scale)


def scale_of(values_S: FloatArray) -> float:
    """1 for scores within [0, 1]; else the largest absolute value."""
    if values_S.min() >= 0 and values_S.max() <= 1:
        return 1.0
    return float(np.max(np.abs(values_S)))
