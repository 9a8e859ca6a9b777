"""Console logs of any trainer: rows found in the text, and the step of each from the row, its line or the progress bar.

Known syntaxes: a dict (TRL, slime, SkyRL, OpenRLHF, ROLL), `key:value - key:value` (verl), `key: value` pairs of one
line (torchtune, prime-rl, tqdm's postfix), and blocks of one pair a line, boxed or not (AReaL, stable-baselines3,
NeMo-RL). A counter named on the line (`Step 3/80`, `rollout 3:`) is a cell of its row.
"""

from __future__ import annotations

import gc
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from crestfall.analysis.importers.base import History, OneFile
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.chatter import without_chatter
from crestfall.analysis.importers.frame import About, histories
from crestfall.analysis.importers.lines import Line, Scanner
from crestfall.analysis.importers.numbers import count_distinct, floats, text_with_points
from crestfall.analysis.importers.refusals import advice_on
from crestfall.analysis.importers.speakers import by_speaker
from crestfall.analysis.importers.tables import frames_in
from crestfall.analysis.importers.text import is_text, lines_of, read_text, run_name, suffix_of
from crestfall.analysis.trajectory import FloatArray
from crestfall.core.errors import InputError
from crestfall.core.registry import register
from crestfall.core.signals import word_set

NO_LOG = word_set(".py .sh .yaml .yml .c .h .cpp .js .css .lock .zip .model .parquet .npy .npz .gguf .html .ipynb")
EXPECTED = "rows of numbers with a score: dicts, key:value pairs or tables"


@register("importer", "console")
@dataclass(frozen=True)
class Console(OneFile):
    """Console output: TRL, verl, slime, SkyRL, AReaL, OpenRLHF, NeMo-RL, prime-rl, torchtune and the like."""

    order: ClassVar[int] = 9

    def claims(self, path: Path, head: bytes) -> bool:
        return is_text(head) and suffix_of(path) not in NO_LOG and advice_on(path) is None

    def read_one(self, path: Path) -> list[History]:
        found = read_lines(lines_of(text_with_points(read_text(path))), About(run_name(path), path, "console log"))
        if not found:
            raise InputError(f"{path}: not a log that crestfall knows; expected {EXPECTED}")
        return found


def read_lines(lines: list[str], about: About) -> list[History]:
    """The runs in some lines: from rows, or from tables where those hold more scores. Empty: there is nothing."""
    with _uncollected():
        return _read(lines, about)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without garbage collection: a row is a few small tuples that all stay, and each collection walks them all."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _read(lines: list[str], about: About) -> list[History]:
    scanner = _scanned(lines)
    rows, left_out = without_chatter(scanner.rows)
    rows = _with_scores(rows)
    tables = frames_in(lines) if len(rows) < len(lines) / 4 else []
    if tables and sum(frame.size for frame in tables) > len(rows):
        return [history for frame in tables for history in histories(frame, about)]
    if not rows:
        return []
    about = replace(about, notes=(*about.notes, left_out)) if left_out else about
    return [h for label, own, note in by_speaker(rows) for h in _histories(own, scanner.bars, label, note, about)]


def rows_in(text: str) -> list[Line]:
    """All rows in a text."""
    return _scanned(lines_of(text)).rows


def _scanned(lines: list[str]) -> Scanner:
    scanner = Scanner()
    scanner.take(lines)
    scanner.end()
    return scanner


def _histories(rows: list[Line], bars: list[tuple[int, int]], label: str, note: str, about: About) -> list[History]:
    steps_R, counted = _steps(rows, bars)
    notes = (*about.notes, *(said for said in (note, counted) if said))
    name = f"{about.name} {label}" if label else about.name
    frame = Frame.of_rows((row.keys, row.values) for row in rows)
    return histories(frame, About(name, about.source, about.format, steps_R, notes))


def _with_scores(rows: list[Line]) -> list[Line]:
    """Rows of the syntaxes that hold scores. A counter on the line makes a row; without one, a row needs a score."""
    scores: dict[str, int] = {}
    for row in rows:
        if row.shape.scored:
            scores[row.syntax] = scores.get(row.syntax, 0) + 1
    if not scores:
        return []
    best = max(scores, key=lambda syntax: (scores[syntax], syntax))
    counted = sum(row.counted for row in rows if row.syntax == best)
    if 2 * counted < scores[best]:
        own = [row for row in rows if row.syntax == best or row.shape.counts_alone]
        before = sum(row.shape.counts_alone for row in own) > scores[best] / 2 and own[0].shape.counts_alone
        return own if before else [row for row in own if row.syntax == best]
    return [row for row in rows if row.counted]


def _steps(rows: list[Line], bars: list[tuple[int, int]]) -> tuple[FloatArray | None, str]:
    """Steps from the progress bar or by counting, where the rows hold none; None: they do."""
    counted = sum(row.counted for row in rows)
    if 2 * counted >= len(rows):
        return None, ""
    training = [not row.shape.evaluation for row in rows]
    training = training if any(training) else [True] * len(rows)
    if bars:
        steps_R = _by_bar(rows, bars)
        if steps_R is not None:
            return steps_R, "the log has no steps: they are those of the progress bar"
    return _counted(rows, training), "the log has no steps: training rows are counted"


def _counted(rows: list[Line], training: list[bool]) -> FloatArray:
    """Numbers of the training rows. Where the epoch goes back, the run was resumed: it counts on from the rows before
    that epoch."""
    epochs: list[float] = []
    steps_R = np.ones(len(rows))
    for i, row in enumerate(rows):
        if training[i]:
            found, _ = floats([row.values[row.keys.index("epoch")]] if "epoch" in row.keys else [])
            epoch = float(found[0]) if len(found) else epochs[-1] if epochs else 0.0
            if epochs and epoch < epochs[-1]:
                del epochs[bisect_left(epochs, epoch) :]
            epochs.append(epoch)
        steps_R[i] = max(len(epochs), 1)
    return steps_R


def _by_bar(rows: list[Line], bars: list[tuple[int, int]]) -> FloatArray | None:
    """The bar of the training is the one that moves most between rows. A row is printed at or just after its step;
    where rows come every k steps, give or take one, they are of the multiples of k."""
    totals = {total for _, total in bars}
    moved: dict[int, set[int]] = {total: {now for now, of in bars if of == total} for total in totals}
    total = max(totals, key=lambda t: (len(moved[t]), t))
    if len(moved[total]) < min(3, len(rows)):
        return None
    at = np.array([i for i, (_, of) in enumerate(bars) if of == total])
    now = np.array([bars[i][0] for i in at], dtype=np.float64)
    before_R = np.searchsorted(at, [row.bars for row in rows], side="left") - 1
    steps_R = np.where(before_R >= 0, now[np.maximum(before_R, 0)], 0.0)
    return _snapped(steps_R, [not row.shape.evaluation for row in rows])


def _snapped(steps_R: FloatArray, training: list[bool]) -> FloatArray:
    at = np.flatnonzero(training)
    moves = np.diff(steps_R[at])
    forward = moves[moves > 0]
    every = round(float(np.median(forward))) if len(forward) else 1
    if every < 1:
        return steps_R
    nearest_R = np.round(steps_R / every) * every
    late = np.abs(nearest_R[at] - steps_R[at]) <= min(1, every / 2)
    if late.all() and (nearest_R[at] > 0).all() and count_distinct(nearest_R[at]) == count_distinct(steps_R[at]):
        return np.asarray(nearest_R)
    if (steps_R[at] == 0).any():
        steps_R[at] += every  # each row stands before the bar of its step
    return np.maximum(steps_R, 1.0)
