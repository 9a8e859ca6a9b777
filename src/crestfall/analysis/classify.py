"""Class of a run: rise_and_collapse, collapse, crash_and_recovery, rise, flat, decline or too_few_points.

docs/classes.md explains the rule. A movement (the rise from start to peak, the fall from peak to end; on the smoothed
curve, less the bias that noise gives a maximum) counts when it is real (its p-value against the plateau null is below
0.05), not negligible (2% of the scale), and not a mere ripple on the other movement: at least a third of it, or more
than 0.2 of the scale in its own right. A run that ends low has collapsed, whatever it did before; one that fell by more
than 0.2 of the scale and came back is a crash and recovery.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from crestfall.analysis.crash import Crash, crash_of
from crestfall.analysis.levels import Levels, levels, smoothing_width, within_unit, without_intervals
from crestfall.analysis.measures import COLLAPSE
from crestfall.analysis.noise import FEW, Noise, bin_means, noise_of
from crestfall.analysis.scan import REPLICATES, SIGNIFICANCE, fall_of, rise_of
from crestfall.analysis.trajectory import FloatArray

CurveClass = Literal["rise_and_collapse", "collapse", "crash_and_recovery", "rise", "flat", "decline", "too_few_points"]
CLASSES: tuple[CurveClass, ...] = (
    "rise_and_collapse",
    "collapse",
    "crash_and_recovery",
    "rise",
    "flat",
    "decline",
    "too_few_points",
)
FALLEN: tuple[CurveClass, ...] = ("rise_and_collapse", "collapse", "decline")

NEGLIGIBLE = 0.02
RIPPLE = 1 / 3
SUGGESTIVE = 0.5
FEWEST = 4
"""Fewer points of unknown noise are never called flat: too few to say."""


@dataclass(frozen=True)
class Classification:
    """`levels` are those of the smoothed curve, `smoothing` the width of its moving average (1: none), `scale` what
    thresholds are a share of: 1 for scores within [0, 1], else the largest absolute value. `noise` is the (median)
    standard deviation of a point (NaN: not known at all), `correlation` that of neighbours, `known` whether sample
    counts told it."""

    label: CurveClass
    levels: Levels
    p_rise: float
    p_fall: float
    crash: Crash
    smoothing: int
    scale: float
    noise: float
    correlation: float
    known: bool


def classify(values_S: FloatArray, errors_S: FloatArray | None = None, replicates: int = REPLICATES) -> Classification:
    """`errors_S`: standard errors of the values where the evaluation's sample counts are known.

    Curves of more than 100 points are averaged into 100 first.
    """
    curve_S = bin_means(values_S)
    noise = noise_of(curve_S, errors_S if len(curve_S) == len(values_S) else None)
    scale = scale_of(values_S)
    width = 1 if noise.known else smoothing_width(len(curve_S))
    rise, fall = rise_of(curve_S, noise, replicates), fall_of(curve_S, noise, replicates)
    unknown = not noise.known and len(curve_S) < FEWEST
    of = levels(curve_S, noise, width, rise.least, fall.least)
    of = without_intervals(of) if unknown else of
    of = within_unit(of) if are_shares(values_S) else of
    crash = crash_of(curve_S, noise, width, COLLAPSE * scale)
    p_rise, p_fall = (m.p_value if e.value > 0 else 1.0 for m, e in ((rise, of.rise), (fall, of.fall)))
    rose = counts(of.rise.value, of.fall.value, p_rise, scale)
    fell = counts(of.fall.value, of.rise.value, p_fall, scale)
    label = _label(rose, fell, of, crash, scale)
    if label == "flat" and _is_too_short(curve_S, noise, of, min(p_rise, p_fall), scale):
        label = "too_few_points"
    sigma = float("nan") if unknown else float(np.median(noise.sigma_S))
    return Classification(label, of, p_rise, p_fall, crash, width, scale, sigma, noise.correlation, noise.known)


def _label(rose: bool, fell: bool, of: Levels, crash: Crash, scale: float) -> CurveClass:
    fell_far = fell and of.fall.value > COLLAPSE * scale
    if rose and fell:
        return "rise_and_collapse"
    if fell_far:
        return "collapse"
    if crash.p_value < SIGNIFICANCE and crash.depth > COLLAPSE * scale:
        return "crash_and_recovery"
    return "decline" if fell else "rise" if rose else "flat"


def _is_too_short(curve_S: FloatArray, noise: Noise, of: Levels, p_value: float, scale: float) -> bool:
    """Whether the curve is too short to classify: too few points of unknown noise, or few that seem to move far."""
    if noise.known:
        return len(curve_S) < 2
    far = max(of.rise.value, of.fall.value) > COLLAPSE * scale and p_value < SUGGESTIVE
    return len(curve_S) < FEWEST or (len(curve_S) < FEW and far)


def counts(size: float, other: float, p_value: float, scale: float) -> bool:
    """Does a movement count, given the size of the opposite one?"""
    real = p_value < SIGNIFICANCE
    return real and size >= NEGLIGIBLE * scale and (size >= RIPPLE * other or size > COLLAPSE * scale)


def scale_of(values_S: FloatArray) -> float:
    """1 for scores within [0, 1]; else the largest absolute value."""
    return 1.0 if are_shares(values_S) else float(np.max(np.abs(values_S)))


def are_shares(values_S: FloatArray) -> bool:
    """All within [0, 1]."""
    return bool(values_S.min() >= 0 and values_S.max() <= 1)
