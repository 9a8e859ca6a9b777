"""Signals that changed before a fall: for each, the step at which its course broke, compared with the fall's onset.

The rule: from a quarter of the way to the fall (what goes on before is the start-up of a run, no warning) to its end, a
signal is fitted by two straight lines, each with its own level and slope, at the break that leaves the smallest
error. The break counts when the error falls by more than it does in 95% of straight lines with AR(1) noise of the same
length and correlation, the number of signals allowed for (a false-alarm rate of 5% a run), and unless the signal merely
settles there. The lead is the step at which
the fall began minus the break's step: positive means before the fall. It is a description of what happened, found with
the whole run in view, and no alarm that one could have had at the time. A missing signal is not a quiet one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from crestfall.analysis.course import Course, curve_of
from crestfall.analysis.noise import ar1
from crestfall.analysis.trajectory import FloatArray, IntArray, Series, Trajectory
from crestfall.core.rng import stream
from crestfall.core.signals import COMPARED

FALSE_ALARMS = 0.05
FEWEST_POINTS = 10
SHORTEST_PIECE = 3
REPLICATES = 399


@dataclass(frozen=True)
class Lead:
    """`steps` > 0: the signal's course broke that many steps before the fall began. `before` and `after`: the signal's
    mean on the two sides of the break."""

    signal: str
    steps: int
    broke_at: int
    p_value: float
    before: float
    after: float


def leads_of(trajectory: Trajectory, steps_S: IntArray, course: Course) -> tuple[Lead, ...]:
    """The breaks of all compared signals, the earliest first. `steps_S`: those that the course's indices are of."""
    begin = int(steps_S[0]) + (int(steps_S[course.began]) - int(steps_S[0])) // 4
    signals = [name for name in COMPARED if name in trajectory.signals]
    found = (
        lead_of(
            name,
            trajectory.signals[name].within(begin, int(steps_S[course.done])),
            int(steps_S[course.began]),
            FALSE_ALARMS / len(signals),
        )
        for name in signals
    )
    return tuple(sorted((lead for lead in found if lead is not None), key=lambda lead: -lead.steps))


def lead_of(signal: str, series: Series, onset_step: int, false_alarms: float = FALSE_ALARMS) -> Lead | None:
    """The break of one signal; None: it did not break, or has fewer than 10 points."""
    if len(series) < FEWEST_POINTS:
        return None
    values_S, first_S = curve_of(series.values_S)
    break_at = break_point(values_S[None])
    p_value = p_value_of_break(values_S)
    if p_value >= false_alarms:
        return None
    index = int(break_at.index_B[0])
    if _settles(values_S, index):
        return None
    broke_at = int(series.steps_S[first_S[index]])
    before, after = float(values_S[:index].mean()), float(values_S[index:].mean())
    return Lead(signal, onset_step - broke_at, broke_at, p_value, before, after)


def _settles(values_S: FloatArray, cut: int) -> bool:
    """Whether the break is the end of a start-up: the signal moved from the first point on, moves less after the break,
    and made no jump larger than its way so far. A warning is the departure from a steady course."""
    half = max(cut // 2, 2)
    left, right, first = (_line(values_S, a, b) for a, b in ((0, cut), (cut, len(values_S)), (0, half)))
    jump = abs(float(np.polyval(right, cut) - np.polyval(left, cut)))
    moved_at_once = first[0] * np.sign(left[0]) > abs(left[0]) / 2
    return bool(moved_at_once and abs(right[0]) < abs(left[0]) and jump <= abs(left[0]) * cut)


def _line(values_S: FloatArray, begin: int, end: int) -> FloatArray:
    return np.asarray(np.polyfit(np.arange(begin, end), values_S[begin:end], 1))


@dataclass(frozen=True, eq=False)
class Break:
    """Per row: the first index of the second piece, and the reduction of the squared error over what is left of it."""

    index_B: IntArray
    statistic_B: FloatArray


def break_point(values_BS: FloatArray) -> Break:
    """The best break of each row into two straight lines, each of at least 3 points."""
    values_BS = values_BS - values_BS.mean(axis=1, keepdims=True)
    size = values_BS.shape[1]
    left_BS = line_errors(values_BS)
    right_BS = line_errors(values_BS[:, ::-1])[:, ::-1]
    cuts = np.arange(SHORTEST_PIECE, size - SHORTEST_PIECE + 1)
    errors_BC = left_BS[:, cuts] + right_BS[:, cuts]
    best_B = errors_BC.min(axis=1)
    whole_B = left_BS[:, size]
    rounding_B = 1e-12 * np.maximum(np.sum(values_BS**2, axis=1), 1e-300)
    return Break(cuts[errors_BC.argmin(axis=1)], (whole_B - best_B) / np.maximum(best_B, rounding_B))


def line_errors(values_BS: FloatArray) -> FloatArray:
    """Squared error of a straight line through the first i values of each row, i = 0 ... S."""
    rows, size = values_BS.shape
    t_S = np.arange(size, dtype=np.float64) - size / 2
    zero = np.zeros((rows, 1))

    def upto(x_BS: FloatArray) -> FloatArray:
        return np.concatenate([zero, np.cumsum(x_BS, axis=1)], axis=1)

    n = np.maximum(np.arange(size + 1, dtype=np.float64), 1)
    y, yy, ty = upto(values_BS), upto(values_BS**2), upto(values_BS * t_S)
    t, tt = np.append(0.0, np.cumsum(t_S)), np.append(0.0, np.cumsum(t_S**2))
    syy, sty, stt = yy - y**2 / n, ty - t * y / n, tt - t**2 / n
    slope_part = np.divide(sty**2, stt, out=np.zeros_like(sty), where=stt > 1e-9)
    return np.maximum(syy - slope_part, 0.0)


def p_value_of_break(values_S: FloatArray, replicates: int = REPLICATES) -> float:
    """Against a straight line with AR(1) noise, its correlation taken from the residuals of the two lines."""
    observed = break_point(values_S[None])
    if observed.statistic_B[0] <= 0:
        return 1.0
    rho = _correlation(values_S, int(observed.index_B[0]))
    null_B = _null(len(values_S), round(20 * rho), replicates)
    return float((1 + np.sum(null_B >= observed.statistic_B[0])) / (1 + replicates))


@lru_cache(maxsize=512)
def _null(size: int, twentieths: int, replicates: int) -> FloatArray:
    """The statistic is free of scale and slope: it depends on length and correlation (in twentieths) alone."""
    return break_point(ar1(stream("straight", size), replicates, size, twentieths / 20)).statistic_B


def _correlation(values_S: FloatArray, cut: int) -> float:
    """Lag-1, of what the two lines leave. Lines and break follow the noise: on simulated AR(1) noise of 12 to 100
    points r = rho - (5.5 + 14 rho) / S, which is solved for rho."""
    residual_S = np.concatenate([_detrended(values_S[:cut]), _detrended(values_S[cut:])])
    total = float(residual_S @ residual_S)
    if total <= 1e-12 * float(values_S @ values_S):
        return 0.0
    r = float(residual_S[1:] @ residual_S[:-1]) / total
    size = len(values_S)
    return float(np.clip((r + 5.5 / size) / max(1 - 14 / size, 0.3), 0.0, 0.9))


def _detrended(values_S: FloatArray) -> FloatArray:
    t_S = np.arange(len(values_S)) - (len(values_S) - 1) / 2
    return np.asarray(values_S - values_S.mean() - t_S * (t_S @ values_S) / (t_S @ t_S))
