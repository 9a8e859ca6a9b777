"""Turn the history in a file into trajectories: choose metrics, order steps, and note what was odd."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.base import Column, History
from crestfall.analysis.importers.numbers import count_distinct
from crestfall.analysis.importers.scales import in_fractions
from crestfall.analysis.trajectory import Curve, FloatArray, IntArray, Series, Trajectory
from crestfall.core.errors import InputError
from crestfall.core.registry import nearest
from crestfall.core.signals import signals_in

FEWEST_EVALUATIONS = 5
"""An evaluation metric with fewer points than this, and of unknown noise, is passed over for the training reward."""
LARGEST = 1e100
"""Values beyond this overflow when they are squared."""
_WITH_SAMPLES = re.compile(r"(.+)@(\d+)")


@dataclass(frozen=True, eq=False)
class Tidy:
    """A column in order of steps, each step once. `n_S`: samples behind a value; None: not known."""

    series: Series
    n_S: IntArray | None
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.series)


def to_trajectories(history: History, asked: Sequence[str] = (), samples: int | None = None) -> list[Trajectory]:
    """One per metric that was asked for; without, the one that the run is best judged by.

    `asked`: keys or globs, `KEY@N` with the number of samples behind each value. `samples`: that number for all.

    Raises:
        InputError: the file has no such metric, none that is known as one, or a value beyond 1e100.
    """
    if not asked:
        key, why = choose_metric(history, samples)
        return [_trajectory(history, key, why, samples)]
    chosen = [found for one in asked for found in _asked(history, one)]
    return [_trajectory(history, key, "as told", n or samples) for key, n in dict(chosen).items()]


def _asked(history: History, asked: str) -> list[tuple[str, int | None]]:
    keys = history.columns
    for name, n in [(asked, None), *([(m[1], int(m[2]))] if (m := _WITH_SAMPLES.fullmatch(asked)) else [])]:
        if name in keys:
            return [(name, n)]
        if name in history.named:  # a column that was taken for a run's
            own = history.named[name]
            return [] if own is None else [(own, n)]
        if matches := [key for key in keys if fnmatchcase(key, name)]:
            return [(key, n) for key in matches]
    raise InputError(f"{history.source}: no metric {asked!r}{nearest(asked, keys)}; it has {_some(list(keys))}")


def _trajectory(history: History, key: str, why: str, samples: int | None) -> Trajectory:
    keys = list(history.columns)
    tidied: dict[str, Tidy] = {}

    def tidy_of(name: str) -> Tidy:
        if name not in tidied:
            tidied[name] = _one_scale(name, tidy(history.columns[name]))
        return tidied[name]

    whole = next(iter(metrics.rewards(keys)), None)
    roles = dict.fromkeys(metrics.parts(keys, whole), "part")
    roles |= ({whole: "reward"} if whole else {}) | dict.fromkeys(metrics.evaluations(keys), "evaluation")
    main = _curve(tidy_of(key), roles.get(key, "evaluation"), samples)
    _check_size(history, key, main.series.values_S)
    others = {k: _curve(tidy_of(k), role, samples) for k, role in roles.items() if k != key}
    companions = signals_in(keys) | ({"reward": whole} if whole else {})
    signals = {signal: tidy_of(k).series for signal, k in companions.items() if k != key}
    odd = [*tidied[key].notes]
    if metrics.smaller_is_better(key):
        odd.append(f"larger values of {key} are taken as better; if smaller ones are, turn its sign around")
    if history.not_finite:
        odd.append(f"{sum(history.not_finite.values())} values that are not finite: left out")
    return Trajectory(
        name=history.name,
        source=history.source,
        metric=key,
        why=f"{history.format}: {why}",
        steps_S=main.series.steps_S,
        values_S=main.series.values_S,
        standard_errors_S=main.standard_errors_S,
        signals={signal: s for signal, s in signals.items() if _is_sane(s)},
        others={k: c for k, c in others.items() if _is_sane(c.series) and not _same(c.series, main.series)},
        role=main.role,
        told=why == "as told",
        broken=history.broken.get(key),
        notes=(*history.notes, *odd),
    )


def _one_scale(key: str, tidied: Tidy) -> Tidy:
    if not metrics.is_share(key):
        return tidied
    values_S, note = in_fractions(tidied.series.steps_S, tidied.series.values_S)
    if not note:
        return tidied
    return Tidy(Series(tidied.series.steps_S, values_S), tidied.n_S, (*tidied.notes, f"{key} is {note}"))


def choose_metric(history: History, samples: int | None = None) -> tuple[str, str]:
    """The key to judge a run by, and why: an evaluation, else the training reward, else another score, else the only
    key. Raises InputError where there is no such key."""
    columns = history.columns
    keys = list(columns)
    sizes = {key: count_distinct(column.steps_R) for key, column in columns.items()}
    if len(keys) == 1 and not metrics.smaller_is_better(keys[0]):
        return keys[0], "the only number in the file"
    held_out = metrics.evaluations(keys)
    evaluation = _best(held_out, sizes)
    reward = _best(metrics.rewards(keys), sizes)
    if evaluation is not None:
        known = samples is not None or columns[evaluation].n_R is not None
        few = sizes[evaluation] < FEWEST_EVALUATIONS and not known
        if not (few and reward is not None and sizes[reward] > sizes[evaluation]):
            instead = f", not the training reward {reward}" if reward else ""
            rest = [key for key in held_out if key != evaluation]
            return evaluation, f"an evaluation{instead}" + (f" (also logged: {_some(rest)})" if rest else "")
        return reward or evaluation, f"training reward; {evaluation} has {sizes[evaluation]} points only"
    if reward is not None:
        return reward, "the training reward: no evaluation was logged"
    if scores := metrics.scores(keys):
        return scores[0], "a score"
    if not keys:
        lost = next(iter(history.not_finite), None)
        raise InputError(f"{history.source}: it holds no finite number" + (f" of {lost}" if lost else ""))
    if len(keys) == 1:
        raise InputError(f"{history.source}: smaller values of {keys[0]}, the one metric, are better; expected a score")
    unknown = "no metric here has the name of an evaluation or a reward; choose one with --metric"
    raise InputError(f"{history.source}: {unknown}: {_some(keys)}")


def _best(ranked: Sequence[str], sizes: Mapping[str, int]) -> str | None:
    """The first of those that have at least half as many points as the fullest."""
    most = max((sizes[key] for key in ranked), default=0)
    return next((key for key in ranked if 2 * sizes[key] >= most), None)


def _some(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "") or "no numbers"


def _curve(tidied: Tidy, role: str, samples: int | None) -> Curve:
    n_S = tidied.n_S if samples is None else np.full(len(tidied), samples)
    return Curve(tidied.series, _standard_errors(tidied.series.values_S, n_S), role)


def _standard_errors(p_S: FloatArray, n_S: IntArray | None) -> FloatArray | None:
    """sqrt(p (1 - p) / n) where n is known and the values are shares, each drawn half a sample towards 1/2 (Jeffreys):
    an evaluation in which nothing passed is not certain. None otherwise."""
    if n_S is None or not len(p_S) or (n_S <= 0).any() or p_S.min() < 0 or p_S.max() > 1:
        return None
    p_S = (p_S * n_S + 0.5) / (n_S + 1)
    return np.asarray(np.sqrt(p_S * (1 - p_S) / n_S))


def _check_size(history: History, key: str, values_S: FloatArray) -> None:
    if len(values_S) and float(np.abs(values_S).max()) > LARGEST:
        worst = float(values_S[np.abs(values_S).argmax()])
        raise InputError(f"{history.source}: {key} has the value {worst:g}; expected values below {LARGEST:g}")


def _is_sane(series: Series) -> bool:
    return len(series) > 0 and float(np.abs(series.values_S).max()) <= LARGEST


def _same(one: Series, other: Series) -> bool:
    return len(one) == len(other) and bool(np.array_equal(one.values_S, other.values_S))


def tidy(column: Column) -> Tidy:
    """Points in order of steps, each step once, and notes on restarts, several rows a step, and gaps.

    Rows of one step that follow each other are averaged. A log that goes back to steps it has been at was restarted
    from there: what it had written from that step on is replaced. Steps that merely stand out of order are sorted.
    """
    steps_R, values_R, n_R = column.steps_R, column.values_R, column.n_R
    notes = []
    starts = np.flatnonzero(np.concatenate([[True], np.diff(steps_R) != 0]))
    if len(starts) < len(steps_R):
        sizes = np.diff(np.append(starts, len(steps_R)))
        notes.append(f"{_typical(sizes)} rows a step were averaged")
        if n_R is None and np.isin(values_R, (0.0, 1.0)).all():
            n_R = np.ones(len(values_R), dtype=np.int64)  # a graded sample a row
        values_R = np.add.reduceat(values_R, starts) / sizes
        n_R = None if n_R is None else np.add.reduceat(n_R, starts)
        steps_R = steps_R[starts]
    if count_distinct(steps_R) < len(steps_R):
        kept, restarts = _without_replaced(steps_R)
        notes.append(f"{restarts} restarts: {len(steps_R) - len(kept)} points written before them were replaced")
        steps_R, values_R, n_R = steps_R[kept], values_R[kept], None if n_R is None else n_R[kept]
    elif (np.diff(steps_R) < 0).any():
        order = np.argsort(steps_R)
        steps_R, values_R, n_R = steps_R[order], values_R[order], None if n_R is None else n_R[order]
    if n_R is not None and not (n_R > 0).all():
        n_R = None
    series = Series(steps_R.astype(np.int64), values_R.astype(np.float64))
    return Tidy(series, n_R, (*notes, *_gaps(series)))


def _typical(sizes: IntArray) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _without_replaced(steps_R: IntArray) -> tuple[IntArray, int]:
    """Indices that remain, and how often the log went back."""
    kept: list[int] = []
    restarts = 0
    steps = steps_R.tolist()
    for i, step in enumerate(steps):
        if kept and step <= steps[kept[-1]]:
            restarts += 1
            while kept and steps[kept[-1]] >= step:
                kept.pop()
        kept.append(i)
    return np.array(kept, dtype=np.int64), restarts


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
