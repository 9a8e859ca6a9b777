"""Find the column that counts the steps, and the step of each row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.numbers import ASIDE, counters, floats, missing, named_step
from crestfall.analysis.importers.runs import TEXTS, TIMES, names_each_row
from crestfall.analysis.trajectory import FloatArray, IntArray
from crestfall.core.errors import InputError
from crestfall.core.signals import words_of

LARGEST_STEP = 2.0**53
BEFORE_TRAINING = -1
"""The step of an evaluation before the first, as some trainers number it. A counter has no smaller value."""
COUNTED = "no step is logged: rows are counted"
COVERS = 0.5
"""A counter is taken before a better named one that stands in less than half as many rows with a score."""


@dataclass(frozen=True, eq=False)
class Steps:
    """`rows_R`: the rows that have a step, `steps_R` that step; `counters`: the keys that are step counters."""

    rows_R: IntArray
    steps_R: IntArray
    counters: frozenset[str]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows_R)


@dataclass(frozen=True, eq=False)
class _Counter:
    key: str
    rank: int
    rows_R: IntArray
    values_R: FloatArray


def choose_steps(frame: Frame, told_R: FloatArray | None, source: str) -> Steps:
    """The counter with the best name among those that cover the rows with a score.

    `told_R`: the step that the log tells of each row by other means, NaN where it does not. Rows without a step are
    left out with a note, unless a key stands in such rows alone: these rows belong to the step before them.

    Raises:
        InputError: no counter, or one out of range.
    """
    found = _counters(frame)
    names = frozenset(c.key for c in found)
    best = _best(frame, found)
    if best is not None and metrics.numbers_rows(best.key) and _are_no_steps(frame):
        best = None
    if told_R is not None:
        return _told(frame, told_R, best, names)
    if best is None:
        best = None if _are_no_steps(frame) else _by_shape(frame)
        if best is None:
            return _numbered(frame, source)
        names |= {best.key}
    named = best in found
    best = _completed(best, found)
    out_of_range = np.abs(best.values_R) >= LARGEST_STEP
    if out_of_range.any():
        row, worst = int(best.rows_R[out_of_range][0]) + 1, best.values_R[out_of_range][0]
        raise InputError(f"{source}, row {row}: expected a step in {best.key!r}, found {worst:g}")
    values_R, notes = (
        best.values_R,
        [] if named else [f"{best.key} is taken as the step, since it increases row by row"],
    )
    if nested := _within(best, found):
        values_R = _composite(values_R, nested.values_R)
        notes.append(f"{best.key} begins again with every {nested.key}; steps are numbered throughout")
    if np.any(values_R != np.round(values_R)):
        distinct, places_R = np.unique(values_R, return_inverse=True)
        values_R = places_R.astype(np.float64) + 1
        notes.append(f"{best.key} has fractions: its {len(distinct)} values are steps 1 to {len(distinct)}")
    return _filled(frame, best.key, best.rows_R, values_R.astype(np.int64), names, notes)


def _counters(frame: Frame) -> list[_Counter]:
    out = []
    for key, (at, raws) in frame.cells.items():
        rank = metrics.step_rank(key)
        if rank is None:
            continue
        values_R, which_R = counters(raws, frame.floats(key))
        if (unit := metrics.step_unit(key)) != 1:
            values_R = np.round(values_R * unit)
        finite_R = np.isfinite(values_R)
        if metrics.numbers_rows(key) and (np.diff(values_R[finite_R]) < 0).any():
            continue  # of samples or processes
        values_R, rows_R = values_R[finite_R], np.asarray(at, dtype=np.int64)[which_R[finite_R]]
        if len(values_R) and values_R.min() >= BEFORE_TRAINING and (len(values_R) == 1 or np.ptp(values_R) > 0):
            out.append(_Counter(key, rank, rows_R, values_R))
    return sorted(out, key=lambda c: (c.rank, c.key))


def with_named_steps(frame: Frame) -> Frame:
    """A column of checkpoints (`outputs/checkpoint-100`) counts, whatever it is called."""
    for key, (_, raws) in frame.cells.items():
        text = [raw for raw in raws[:1] if isinstance(raw, str) and metrics.step_rank(key) is None]
        if not text or named_step(text[0]) is None or "checkpoint" in frame.cells:
            continue
        if len({named_step(str(raw)) for raw in raws} - {None}) > 1:
            return Frame(frame.size, {"checkpoint" if k == key else k: cell for k, cell in frame.cells.items()})
    return frame


def _are_no_steps(frame: Frame) -> bool:
    """Whether a row is a trial of a search (Optuna's `params_lr`), or a sample with its text."""
    return any(words_of(key)[:1] in (["params"], ["param"]) for key in frame.cells) or any(
        key.lower() in TEXTS and all(isinstance(raw, str) for raw in raws) for key, (_, raws) in frame.cells.items()
    )


def _by_shape(frame: Frame) -> _Counter | None:
    """The first column of whole numbers that go up from row to row, whatever its name; times are none."""
    for key, (at, _) in frame.cells.items():
        if set(words_of(key)) & (TIMES | {"id"}) or key.lower() in ASIDE or metrics.role_of(key) != "aside":
            continue
        values_R, which_R = frame.floats(key)
        whole = len(values_R) == frame.size > 3 and bool((np.diff(values_R) > 0).all())
        if whole and (values_R == np.round(values_R)).all() and values_R[0] >= 0 and values_R[-1] < EPOCH_SECONDS:
            return _Counter(key, 0, np.asarray(at, dtype=np.int64)[which_R], values_R)
    return None


EPOCH_SECONDS = 1e9
"""Larger numbers may be seconds since 1970."""


def _best(frame: Frame, found: list[_Counter]) -> _Counter | None:
    scored = np.zeros(frame.size, dtype=bool)
    for key, (at, raws) in frame.cells.items():
        if metrics.role_of(key) != "aside":
            numbers = len(frame.floats(key)[0]) == len(raws)
            scored[at if numbers else [i for i, raw in zip(at, raws, strict=True) if not missing(raw)]] = True
    if not scored.any():
        scored[:] = True
    covers = {c.key: int(scored[c.rows_R].sum()) for c in found}
    most = max(covers.values(), default=0)
    if not most:  # scores follow the rows that count
        return next((c for c in found if not metrics.counts_weakly(c.key)), None)
    return next((c for c in found if covers[c.key] >= COVERS * most and covers[c.key]), None)


def _completed(best: _Counter, found: list[_Counter]) -> _Counter:
    """The counter with rows that another one alone counts, where the two agree in all rows that both stand in, or have
    the same name (`train/global_step`, `eval/global_step`)."""
    rows_R, values_R = best.rows_R, best.values_R
    for other in found:
        _, mine, its = np.intersect1d(rows_R, other.rows_R, return_indices=True)
        namesake = not len(mine) and other.key.rpartition("/")[2] == best.key.rpartition("/")[2]
        if namesake or (len(mine) > 1 and np.array_equal(values_R[mine], other.values_R[its])):
            rows_R, first = np.unique(np.concatenate([rows_R, other.rows_R]), return_index=True)
            values_R = np.concatenate([values_R, other.values_R])[first]
    return _Counter(best.key, best.rank, rows_R, values_R)


def _within(inner: _Counter, found: list[_Counter]) -> _Counter | None:
    """The counter (an epoch, an iteration) that `inner` starts again with: it goes on wherever `inner` goes back."""
    back_R = np.flatnonzero(np.diff(inner.values_R) < 0)
    if not len(back_R):
        return None
    for outer in found:
        if outer.key != inner.key and np.array_equal(outer.rows_R, inner.rows_R):
            moves_R = np.diff(outer.values_R)
            if (moves_R >= 0).all() and (moves_R[back_R] > 0).all():
                return outer
    return None


def _composite(inner_R: FloatArray, outer_R: FloatArray) -> FloatArray:
    out_R, offset = inner_R.copy(), 0.0
    first = float(inner_R.min() == 0)
    for value in np.unique(outer_R):
        here = outer_R == value
        out_R[here] += offset
        offset += float(inner_R[here].max()) + first
    return out_R


def _told(frame: Frame, told_R: FloatArray, best: _Counter | None, names: frozenset[str]) -> Steps:
    """Steps from the text around the rows; a counter within the row holds where there is one."""
    steps_R = told_R.copy()
    weak = best is not None and metrics.counts_weakly(best.key)
    if best is not None and not weak and np.all(best.values_R == np.round(best.values_R)):
        steps_R[best.rows_R] = best.values_R
    rows_R = np.flatnonzero(np.isfinite(steps_R))
    return Steps(rows_R, steps_R[rows_R].astype(np.int64), names)


def _numbered(frame: Frame, source: str) -> Steps:
    """Rows of scores without any counter are counted; a table of samples or of runs is not a curve."""
    cells = frame.cells.values()
    prose = any(isinstance(raw, str) and len(raw) > 40 for _, raws in cells for raw in raws)
    prose |= any(names_each_row(key, raws) for key, (_, raws) in frame.cells.items())
    scored = any(metrics.role_of(key) != "aside" for key in frame.cells)
    scored |= all(len(floats(raws)[0]) == frame.size for _, raws in cells)
    if prose or _are_no_steps(frame) or not scored or frame.size < 3:
        raise InputError(f"{source}: no step column; expected one such as step, global_step, iteration or epoch")
    return Steps(np.arange(frame.size), np.arange(1, frame.size + 1), frozenset(), (COUNTED,))


def _filled(
    frame: Frame, key: str, rows_R: IntArray, steps_R: IntArray, names: frozenset[str], notes: list[str]
) -> Steps:
    without = frame.size - len(rows_R)
    if not without:
        return Steps(rows_R, steps_R, names, tuple(notes))
    has = np.zeros(frame.size, dtype=bool)
    has[rows_R] = True
    lone = np.zeros(frame.size, dtype=bool)
    for name, (at, raws) in frame.cells.items():
        if name not in names and name.lower() not in ASIDE:
            filled = [i for i, raw in zip(at, raws, strict=True) if not missing(raw)]
            if filled and not has[filled].any():
                lone[filled] = True
    last = np.searchsorted(rows_R, np.arange(frame.size), side="right") - 1
    lone &= last >= 0
    if lone.any():
        notes.append(f"{int(lone.sum())} rows without {key} were assigned to the step before them")
    left_out = without - int(lone.sum())
    if left_out:
        notes.append(f"{left_out} rows without {key} were left out")
    keep_R = np.flatnonzero(has | lone)
    return Steps(keep_R, steps_R[last[keep_R]], names, tuple(notes))
