"""Delimited tables: CSV, TSV, `;`: plain, W&B exports (a column per run), TensorBoard exports, stable-baselines3, Ray,
Lightning.

Exports of web pages are samples of the history: the note says how many points were seen.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.base import History, OneFile
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.frame import About, histories
from crestfall.analysis.importers.numbers import ASIDE, FIRST, LAST, NUMBERED, counters, floats, with_points
from crestfall.analysis.importers.steps import EPOCH_SECONDS
from crestfall.analysis.importers.text import read_text, run_name, suffix_of
from crestfall.core.errors import InputError
from crestfall.core.registry import register

_EXPORTED = " - "
_MONITOR = ["r", "l", "t"]
_COMMENTS = ("#", "%")
MOST_HEADERS = 3
FEWEST_TURNED = 3
"""A table of which that many columns are called after steps has a row per metric."""


@register("importer", "table")
@dataclass(frozen=True)
class Table(OneFile):
    """Delimited tables: CSV, TSV, `;`: plain, W&B and TensorBoard exports, stable-baselines3, Ray, Lightning."""

    order: ClassVar[int] = 8

    def claims(self, path: Path, head: bytes) -> bool:
        if suffix_of(path) in (".csv", ".tsv"):
            return True
        lines = [line for line in head.decode("utf-8", errors="replace").splitlines()[:20] if line.strip()]
        lines = [line for line in lines if not line.startswith(_COMMENTS)]
        if len(lines) < 3 or "{" in lines[0] or "|" in lines[0]:
            return False
        delimiter = delimiter_of(lines[0])
        header, row, *more = (_cells(line, delimiter) for line in lines[:-1])
        if all(_is_number(cell) for cells in (header, row, *more) for cell in cells):
            return all(len(cells) == len(header) for cells in (row, *more))
        named = len(header) > 1 and any(metrics.step_rank(cell) is not None for cell in header)
        return named and len(row) == len(header) and not len(floats(header)[0]) and len(floats(row)[0]) > 0

    def read_one(self, path: Path) -> list[History]:
        header, columns = columns_of(path)
        found = []
        for run, own in _by_run(header, run_name(path)).items():
            frame = Frame.of_columns({key: columns[i] for i, key in own})
            found += histories(_without_gaps(frame), About(run, path, "CSV"))
        if not found:
            raise InputError(f"{path}: the table holds no numbers; expected a step column and a column of scores")
        if any(_EXPORTED in name for name in header) or "wall time" in map(str.lower, header):
            for history in found:
                seen = max(map(len, history.columns.values()), default=0)
                history.notes.append(f"an export may be a sample of the history; this one has {seen} points")
        return found


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line.strip()], delimiter=delimiter, skipinitialspace=True))


def delimiter_of(line: str) -> str:
    """The delimiter of a header line, by how often it stands there."""
    if any(c in line for c in "\t;,"):
        return max("\t;,", key=line.count)
    return "|" if "|" in line else " " if _is_number(line.partition(" ")[0]) else ","


def columns_of(path: Path) -> tuple[list[str], list[Sequence[str]]]:
    """The header of a table and its columns. Raises InputError."""
    return columns_of_text(path, read_text(path).replace("\r\n", "\n").replace("\r", "\n"))


def columns_of_text(path: Path, text: str) -> tuple[list[str], list[Sequence[str]]]:
    """The same of a table's text, for a file whose name is only told in errors."""
    comment = ""
    while text.startswith((*_COMMENTS, "sep=", "\n")):
        comment, _, text = text.partition("\n")
    head = text.partition("\n")[0]
    delimiter, quote = delimiter_of(head), "'" if head.startswith("'") else '"'
    try:
        reader = csv.reader(io.StringIO(text), delimiter=delimiter, quotechar=quote, skipinitialspace=True)
        rows = [row for row in reader if row and not row[0].startswith("#")]
    except csv.Error as error:
        raise InputError(f"{path}: not a table: {error}") from None
    if not rows:
        raise InputError(f"{path}: the file is empty; expected a header line and rows")
    if len(rows) > 2 and len(rows[0]) == 1 < len(rows[1]) == len(rows[2]):
        return columns_of_text(path, text.partition("\n")[2])  # a title
    if all(_is_number(cell) or NUMBERED.fullmatch(cell) for cell in rows[0] if cell.strip()):
        named = _cells(comment.lstrip("".join(_COMMENTS)), delimiter)  # numpy.savetxt's header is a comment
        rows = [named if len(named) == len(rows[0]) else names_of(rows), *rows]
    rows = _one_header(rows)
    header = [cell.strip() for cell in rows[0]]
    if header[: len(_MONITOR)] == _MONITOR:
        header = ["episode_reward", "episode_length", *header[2:]]  # stable-baselines3's monitor.csv
    header, rows = _upright(header, rows[1:])
    columns = _in_columns(header, rows)
    if "," in text:
        columns = with_points(columns)
    _check_steps(path, header, columns)
    return header, columns


def _one_header(rows: list[list[str]]) -> list[list[str]]:
    """Rows with the first line alone as header. Lines without a number after it say more of columns with the same name
    (pandas' levels, the last of which names the index), or are units."""
    more = next((i for i, row in enumerate(rows[1 : MOST_HEADERS + 1]) if any(map(_is_number, row))), 0)
    levels = [[cell.strip() for cell in row] for row in rows[: more + 1]]
    names = [cell for cell in levels[0] if cell]
    if len(set(names)) == len(names):
        return [rows[0], *rows[more + 1 :]]
    index = levels.pop() if more > 1 and not any(levels[-1][1:]) else [""]
    header = ["/".join(dict.fromkeys(filter(None, cells))) for cells in zip(*levels, strict=False)]
    return [[header[0] or index[0], *header[1:]], *rows[more + 1 :]]


def _upright(header: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """A table of which each column is a checkpoint (or a step) and each row a metric (OpenCompass), turned around."""
    steps = [i for i, cell in enumerate(header) if NUMBERED.fullmatch(cell)]
    if not steps and all(map(_is_number, header[1:])) and not any(_is_number(row[0]) for row in rows):
        steps = list(range(1, len(header)))
    elif any(metrics.step_rank(cell) is not None for cell in header):
        return header, rows
    if len(steps) < FEWEST_TURNED:
        return header, rows
    names = ["/".join(cell for i, cell in enumerate(row) if i not in steps and cell.strip()) for row in rows]
    return ["step", *names], [[header[i], *(row[i] if i < len(row) else "" for row in rows)] for i in steps]


def _is_number(cell: str) -> bool:
    return bool(len(floats([cell])[0]))


def _in_columns(header: list[str], rows: list[list[str]]) -> list[Sequence[str]]:
    """Rows as columns. What appends to a file writes its header again, perhaps another one: `header` grows."""
    known, layouts = set(header), [(list(header), list[list[str]]())]
    for row in rows:
        if row[0] in known and sum(cell.strip() in known for cell in row) > len(row) / 2:
            layouts.append(([cell.strip() for cell in row], []))
        else:
            layouts[-1][1].append(row)
    for names, _ in layouts:
        header += [name for name in names if name not in header]
    columns: list[Sequence[str]] = []
    for i, key in enumerate(header):
        column: list[str] = []
        for names, own in layouts:
            at = i if names == header[: len(names)] else names.index(key) if key in names else -1
            at = at if at < len(names) else -1
            column += [row[at] if at < len(row) else "" for row in own] if at >= 0 else [""] * len(own)
        columns.append(column)
    return columns


def names_of(rows: Sequence[Sequence[Any]]) -> list[str]:
    """Names for the columns of a table without a header: a column that goes up is the step, or a time; one other is the
    value."""
    names = []
    for i in range(len(rows[0])):
        values_R, _ = counters([row[i] for row in rows if i < len(row)])
        rising = len(values_R) == len(rows) > 1 and bool((np.diff(values_R) >= 0).all()) and values_R[-1] > values_R[0]
        is_time = rising and values_R[0] >= EPOCH_SECONDS
        names.append("timestamp" if is_time else "step" if rising and "step" not in names else f"column {i + 1}")
    others = [name for name in names if name.startswith("column")]
    return ["value" if [name] == others else name for name in names]


def _check_steps(path: Path, header: Sequence[str], columns: Sequence[Sequence[Any]]) -> None:
    """A word where the only step belongs is a damaged table and no row without a step."""
    steps = [i for i, key in enumerate(header) if metrics.step_rank(key) is not None]
    if len(steps) != 1:
        return
    cells = columns[steps[0]]
    if len(floats(cells)[0]) == len(cells):
        return
    for line, cell in enumerate(cells, start=2):
        word = cell.strip().lower()
        if word and not any(c.isdigit() for c in word) and word not in ("nan", "none", "null", *FIRST, *LAST):
            raise InputError(f"{path}, line {line}: expected a number in column {header[steps[0]]!r}, found {cell!r}")


def _by_run(header: Sequence[str], name: str) -> dict[str, list[tuple[int, str]]]:
    """Per run the (column, key) pairs. W&B names columns `run - metric`."""
    shared = [(i, key) for i, key in enumerate(header) if metrics.step_rank(key) is not None and _EXPORTED not in key]
    runs: dict[str, list[tuple[int, str]]] = {}
    for i, key in enumerate(header):
        run, dash, metric = key.rpartition(_EXPORTED)
        if not dash:
            run, metric = name, "value" if key == "Value" else key
        if (i, key) in shared or key.endswith(("__MIN", "__MAX")) or (key.lower() in ASIDE and not dash):
            continue
        if dash and metrics.step_rank(metric) is not None:
            continue
        runs.setdefault(run, list(shared)).append((i, metric))
    if len(runs) > 1 and name in runs and any(_EXPORTED in key for key in header):
        del runs[name]  # what a W&B export has beside its runs
    return runs or {name: list(shared)}


def _without_gaps(frame: Frame) -> Frame:
    """Empty cells are no cells."""
    for key, (at, raws) in frame.cells.items():
        if "" in raws:
            kept = [(i, raw) for i, raw in zip(at, raws, strict=True) if raw != ""]
            frame.cells[key] = ([i for i, _ in kept], [raw for _, raw in kept])
    return frame
