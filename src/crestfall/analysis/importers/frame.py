"""Rows of any format as histories: one step counter chosen, runs told apart, several rows a step averaged.

Every importer of rows (JSON lines, tables, console logs, notebooks, ...) ends here, so that each of these questions has
one answer for all formats. What was decided stands in the notes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.base import Column, History
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.columns import by_run
from crestfall.analysis.importers.numbers import ASIDE, counts, floats, shares
from crestfall.analysis.importers.runs import labels_of, pivoted, split_at_resets
from crestfall.analysis.importers.steps import Steps, choose_steps, with_named_steps
from crestfall.analysis.trajectory import FloatArray, IntArray
from crestfall.core.errors import InputError


@dataclass(frozen=True)
class About:
    """Facts about a table outside its rows: the run's name, the file, the format's name, and the step of each row where
    the log states it elsewhere (NaN: not stated)."""

    name: str
    source: Path
    format: str
    steps_R: FloatArray | None = None
    notes: tuple[str, ...] = ()

    def of(self, label: str, name: str, told_by: str) -> About:
        """The same of one run among several; as it is, where it is the only one (no label)."""
        return replace(self, name=name, notes=(*self.notes, f"runs separated by {told_by}")) if label else self


def histories(frame: Frame, about: About) -> list[History]:
    """The runs in some rows.

    Raises:
        InputError: there is no step, or it is out of range.
    """
    if not frame.size:
        return []
    out: list[History] = []
    for label, columns, named in by_run(frame):
        for history in _by_row(columns, about.of(label, label, "the names of the columns")):
            history.named = named
            out.append(history)
    return out


def _by_row(frame: Frame, about: About) -> Iterator[History]:
    """The runs that the values of a column, or the counter, tell apart."""
    frame = pivoted(with_named_steps(frame))
    labels_R, told_by, named_samples = labels_of(frame, about.steps_R is None)
    for label in dict.fromkeys(labels_R or [""]):
        where_R = np.array([i for i, x in enumerate(labels_R) if x == label]) if labels_R else np.arange(frame.size)
        part = frame.rows(where_R) if labels_R else frame
        steps_R = None if about.steps_R is None else about.steps_R[where_R]
        own = about.of(label, f"{about.name} {label}", told_by)
        yield from _runs(part, replace(own, steps_R=steps_R), named_samples)


def _runs(frame: Frame, about: About, samples: bool) -> Iterator[History]:
    """One run, or several where the counter starts again from the beginning."""
    steps = choose_steps(frame, about.steps_R, str(about.source))
    columns = _numeric(frame, steps)
    pieces = [np.arange(len(steps))] if samples else split_at_resets(steps.steps_R)
    if not any(_spans(index_R, pieces) for index_R, _, _ in columns.values()):
        pieces = [np.arange(len(steps))]  # one metric after the other
    notes = [*about.notes, *steps.notes]
    if len(pieces) > 1:
        notes.append(f"the steps begin again {len(pieces) - 1} times, so these are {len(pieces)} runs")
    for number, piece_R in enumerate(pieces, start=1):
        name = about.name if len(pieces) == 1 else f"{about.name} #{number}"
        first, last = int(piece_R[0]), int(piece_R[-1])
        history = History(name, about.source, about.format, notes=list(notes))
        for key, (index_R, values_R, n_R) in columns.items():
            inside_R = slice(*np.searchsorted(index_R, [first, last + 1]))
            where_R = index_R[inside_R]
            if len(where_R):
                n = None if n_R is None else n_R[inside_R]
                column = Column(steps.steps_R[where_R], values_R[inside_R], n)
                history.put(key, _by_step(column) if samples else column)
        if history.columns or history.not_finite:
            yield history


def _spans(index_R: IntArray, pieces: list[IntArray]) -> bool:
    """Whether a column has rows in more than one piece."""
    return any(index_R[0] < piece_R[0] <= index_R[-1] for piece_R in pieces[1:])


def _numeric(frame: Frame, steps: Steps) -> dict[str, tuple[IntArray, FloatArray, IntArray | None]]:
    """Per key: indices into the rows that have a step, values, and counts of samples."""
    place = np.full(frame.size, -1)
    place[steps.rows_R] = np.arange(len(steps))
    counted = _counts(frame)
    out = {}
    for key, (at, raws) in frame.cells.items():
        if key in steps.counters or counts(key) in counted or key.lower() in ASIDE:
            continue
        values_R, which_R = frame.floats(key)
        of_R = None
        if not len(values_R) and metrics.role_of(key) != "aside" and (passed := shares(raws)) is not None:
            values_R, which_R, of_R = passed
        if not len(values_R):
            continue
        rows_R = np.asarray(at, dtype=np.int64)[which_R]
        index_R = place[rows_R]
        inside_R = index_R >= 0
        if not inside_R.any():
            continue
        if _in_percent(key, values_R):
            values_R = values_R / 100
        own = counted.get(key.rpartition("/")[0], counted.get(""))
        of_R = own[rows_R] if of_R is None and own is not None else of_R
        n_R = None if of_R is None else of_R[inside_R]
        out[key] = (index_R[inside_R], values_R[inside_R], n_R)
    return out


def _in_percent(key: str, values_R: FloatArray) -> bool:
    named = "%" in key or key.lower().endswith(("percent", "_pct"))
    return named and metrics.role_of(key) != "aside" and float(np.nanmax(values_R, initial=0.0)) > 1


def _counts(frame: Frame) -> dict[str, IntArray]:
    """Graded samples in each row (0: not told), per name of scores."""
    found: dict[str, IntArray] = {}
    for key, (at, raws) in frame.cells.items():
        if (name := counts(key)) is None or name in found:
            continue
        values_R, which_R = floats(raws)
        good_R = np.isfinite(values_R) & (values_R >= 0) & (values_R < 2**53)
        found[name] = np.zeros(frame.size, dtype=np.int64)
        found[name][np.asarray(at)[which_R][good_R]] = values_R[good_R].astype(np.int64)
    return found


def _by_step(column: Column) -> Column:
    """Rows in order of steps: one graded sample a row, in whatever order they stand."""
    order_R = np.argsort(column.steps_R, kind="stable")
    n_R = None if column.n_R is None else column.n_R[order_R]
    return Column(column.steps_R[order_R], column.values_R[order_R], n_R)


def histories_or_error(frame: Frame, about: About, expected: str) -> list[History]:
    """The same as `histories`. Raises InputError if there is no number at all."""
    found = histories(frame, about)
    if not found:
        raise InputError(f"{about.source}: the file holds no numbers; expected {expected}")
    return found
