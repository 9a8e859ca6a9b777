"""From a history as it stands in a file to a trajectory: one metric chosen, steps in order, and what was odd said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crestfall.analysis.importers.base import History
from crestfall.analysis.trajectory import FloatArray, Series, Trajectory
from crestfall.core.errors import InputError
from crestfall.core.keys import (
    EVALUATIONS,
    PLAIN,
    TRAINING_REWARDS,
    all_matching,
    matching,
    signals_in,
)
from crestfall.core.registry import nearest

FEWEST_EVALUATIONS = 5
"""An evaluation metric with fewer points than this is passed over for the training reward."""


def to_trajectory(history: History, metric: str | None = None) -> Trajectory:
    """Raises InputError where the file has no such metric, or none that is known as one."""
    key, why = choose_metric(history, metric)
    series, notes = tidy(history.points[key])
    signals = {signal: tidy(history.points[k])[0] for signal, k in signals_in(history.points).items() if k != key}
    evaluations = [k for k in all_matching(EVALUATIONS, history.points) if k != key]
    if history.not_finite:
        notes.append(f"{history.not_finite} values that are not finite: left out")
    return Trajectory(
        name=history.name,
        source=history.source,
        metric=key,
        why=f"{history.format}: {why}",
        steps_S=series.steps_S,
        values_S=series.values_S,
        standard_errors_S=_standard_errors(history, key, series),
        signals=signals,
        others={k: tidy(history.points[k])[0] for k in evaluations},
        notes=(*history.notes, *notes),
    )


def choose_metric(history: History, metric: str | None) -> tuple[str, str]:
    """The key to judge a run by, and why: as told, else an evaluation, else the training reward, else the only key."""
    points = history.points
    if metric is not None:
        if metric not in points:
            raise InputError(f"{history.source}: no metric {metric!r}{nearest(metric, points)}; it has {_some(points)}")
        return metric, "as told"
    if len(points) == 1:
        return next(iter(points)), "the only number in the file"
    evaluation = _fullest(history, matching(EVALUATIONS, points))
    reward = _fullest(history, matching(TRAINING_REWARDS, points))
    few = evaluation is not None and len(points[evaluation]) < FEWEST_EVALUATIONS
    if evaluation is not None and not (few and reward is not None and len(points[reward]) > len(points[evaluation])):
        instead = f", not the training reward {reward}" if reward else ""
        return evaluation, f"an evaluation{instead}{_others(all_matching(EVALUATIONS, points), evaluation)}"
    if reward is not None:
        short = f"; {evaluation} has {len(points[evaluation])} points only" if evaluation is not None else ""
        return (
            reward,
            f"the training reward: no evaluation was logged{short}" if not short else f"training reward{short}",
        )
    if plain := matching(PLAIN, points):
        return plain[0], "the score of a plain table"
    raise InputError(
        f"{history.source}: no evaluation or reward that is known; choose one with --metric: {_some(points)}"
    )


def _fullest(history: History, keys: Sequence[str]) -> str | None:
    return max(keys, key=lambda k: len(history.points[k]), default=None)


def _others(keys: Sequence[str], chosen: str) -> str:
    rest = [k for k in keys if k != chosen]
    return f" (also logged: {', '.join(rest)})" if rest else ""


def _some(keys: Sequence[str] | dict[str, list[tuple[int, float]]], most: int = 8) -> str:
    names = list(keys)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "") or "no numbers"


def _standard_errors(history: History, key: str, series: Series) -> FloatArray | None:
    """sqrt(p (1 - p) / n) where the log tells n and the values are shares; None otherwise."""
    samples = history.samples.get(key, {})
    p_S = series.values_S
    if any(int(step) not in samples for step in series.steps_S) or p_S.min() < 0 or p_S.max() > 1:
        return None
    n_S = np.array([samples[int(step)] for step in series.steps_S], dtype=np.float64)
    return np.asarray(np.sqrt(p_S * (1 - p_S) / n_S))


def tidy(points: Sequence[tuple[int, float]]) -> tuple[Series, list[str]]:
    """Points in order of steps, each step once, and notes on restarts, duplicates and gaps.

    A log that goes back to steps it has been at was restarted from there: what it had written from that step on is
    replaced. Steps that merely stand out of order are sorted.
    """
    notes: list[str] = []
    kept = points
    if len({step for step, _ in points}) < len(points):
        kept, restarts = _without_replaced(points)
        if restarts:
            notes.append(f"{restarts} restarts: {len(points) - len(kept)} points written before them are replaced")
    by_step = dict(kept)
    if len(by_step) < len(kept):
        notes.append(f"{len(kept) - len(by_step)} duplicate steps: the later value holds")
    series = Series.of(by_step)
    return series, notes + _gaps(series)


def _without_replaced(points: Sequence[tuple[int, float]]) -> tuple[list[tuple[int, float]], int]:
    kept: list[tuple[int, float]] = []
    restarts = 0
    for step, value in points:
        if kept and step < kept[-1][0]:
            restarts += 1
            while kept and kept[-1][0] >= step:
                kept.pop()
        kept.append((step, value))
    return kept, restarts


def _gaps(series: Series) -> list[str]:
    """A gap is a distance of more than 1.5 times the usual (median) one."""
    if len(series) < 3:
        return []
    distances = np.diff(series.steps_S)
    wide = np.flatnonzero(distances > 1.5 * np.median(distances))
    if not len(wide):
        return []
    worst = wide[np.argmax(distances[wide])]
    return [f"{len(wide)} gaps, the widest from step {series.steps_S[worst]} to {series.steps_S[worst + 1]}"]
