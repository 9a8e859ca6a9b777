"""Evidence for a cause: a companion signal that moved before the score did, or with it, tested against its own null.

Three kinds. `rose`: by a step the signal has risen from where it was, against a plateau with its own noise (the scan
that judges scores), to a level that matters. `broke`: its course broke, against a straight line with AR(1) noise (the
test of leads), upwards or downwards. `stood`: it has been beyond a level all along; that is no test of time, and is
used where the level by itself cannot be right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crestfall.analysis.advice.case import Case
from crestfall.analysis.leads import FEWEST_POINTS, break_point, p_value_of_break
from crestfall.analysis.noise import bin_means, noise_of
from crestfall.analysis.scan import QUESTIONS, rise_of
from crestfall.analysis.trajectory import FloatArray

FEWEST = 4


@dataclass(frozen=True)
class Evidence:
    """`signal` went from `before` to `after` by `step`. `p_value`: against its null; None for a level."""

    signal: str
    step: int
    before: float
    after: float
    p_value: float | None
    text: str


def rose(case: Case, name: str, until: int, least: float) -> Evidence | None:
    """`name` rose by step `until`, to `least` or more."""
    if name not in case.signals:
        return None
    series = case.until(name, until, start_up=True)
    if len(series) < FEWEST:
        return None
    values_S = bin_means(series.values_S)
    before, after = _ends(values_S)
    if after < least or after <= before:
        return None
    p_value = p_value_of_rise(values_S)
    if p_value >= case.alpha:
        return None
    step = int(series.steps_S[-1])
    text = f"{_plain(name)} rose from {_n(before)} to {_n(after)} by step {step} ({_p(p_value)})"
    return Evidence(name, step, before, after, p_value, text)


def broke(case: Case, name: str, until: int, up: bool, factor: float = 1.0) -> Evidence | None:
    """The course of `name` broke by step `until`, upwards or downwards, and its mean after is at least `factor` times
    (downwards: at most 1 / `factor` of) the one before."""
    if name not in case.signals:
        return None
    series = case.until(name, until)
    if len(series) < FEWEST_POINTS:
        return None
    values_S = bin_means(series.values_S)
    cut = int(break_point(values_S[None]).index_B[0])
    before, after = float(values_S[:cut].mean()), float(values_S[cut:].mean())
    left = np.polyfit(np.arange(cut), values_S[:cut], 1)
    departed = float((values_S[cut:] - np.polyval(left, np.arange(cut, len(values_S)))).mean())
    far = after >= factor * before if up else after * factor <= before
    if (departed > 0) != up or not far:
        return None
    p_value = p_value_of_break(values_S)
    if p_value >= case.alpha:
        return None
    step = int(np.interp(cut, np.linspace(0, len(values_S), len(series), endpoint=False), series.steps_S))
    text = f"{_plain(name)} left its course at step {step}: {_n(before)} before, {_n(after)} after ({_p(p_value)})"
    return Evidence(name, step, before, after, p_value, text)


def stood(case: Case, name: str, until: int, least: float) -> Evidence | None:
    """The median of `name` was at least `least` up to step `until`."""
    if name not in case.signals:
        return None
    series = case.until(name, until)
    if not len(series):
        return None
    level = float(np.median(series.values_S))
    if level < least:
        return None
    text = f"{_plain(name)} was {_n(level)} {case.before} (median)"
    return Evidence(name, int(series.steps_S[-1]), level, level, None, text)


def peaked(case: Case, name: str, until: int, least: float) -> Evidence | None:
    """The largest value of `name` up to step `until` was at least `least`."""
    if name not in case.signals:
        return None
    series = case.until(name, until)
    if not len(series) or float(series.values_S.max()) < least:
        return None
    at = int(series.values_S.argmax())
    top, step = float(series.values_S[at]), int(series.steps_S[at])
    median = float(np.median(series.values_S))
    text = f"{_plain(name)} reached {_n(top)} at step {step} (median {_n(median)})"
    return Evidence(name, step, median, top, None, text)


def p_value_of_rise(values_S: FloatArray) -> float:
    """Against a plateau. One question is asked of a companion, where a score is asked three."""
    return rise_of(values_S, noise_of(values_S)).p_value / QUESTIONS


def _ends(values_S: FloatArray) -> tuple[float, float]:
    """Means of the first and of the last fifth, two points at least where there are enough."""
    width = max(len(values_S) // 5, min(2, len(values_S) // 2))
    return float(values_S[:width].mean()), float(values_S[-width:].mean())


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _n(value: float) -> str:
    return f"{value:.3g}"


def _p(p_value: float) -> str:
    return f"p-value {p_value:.3f}"
