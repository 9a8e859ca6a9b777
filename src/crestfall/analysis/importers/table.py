"""Delimited tables: CSV, TSV, `;`: plain, W&B exports (a column per run), TensorBoard exports, stable-baselines3, Ray,
Lightning.

Exports of web pages are samples of the history: the note says how many points were seen.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.base import History
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.frame import About, histories
from crestfall.analysis.importers.numbers import ASIDE, floats
from crestfall.analysis.importers.text import read_text, run_name, suffix_of
from crestfall.core.errors import InputError
from crestfall.core.registry import register

_EXPORTED = " - "
_RUN_COLUMN = re.compile(r"^(seed|run|trial|rep|replicate|fold)[ _-]?\w{1,12}$", re.IGNORECASE)
_MONITOR = ["r", "l", "t"]


@register("importer", "table")
@dataclass(frozen=True)
class Table:
    """Delimited tables: CSV, TSV, `;`: plain, W&B and TensorBoard exports, stable-baselines3, Ray, Lightning."""

    order: ClassVar[int] = 8

    def claims(self, path: Path, head: bytes) -> bool:
        if suffix_of(path) in (".csv", ".tsv"):
            return True
        lines = [line for line in head.decode("utf-8", errors="replace").splitlines()[:20] if line.strip()]
        if len(lines) < 3 or "{" in lines[0] or "|" in lines[0]:
            return False
        delimiter = delimiter_of(lines[0])
        header, row = (next(csv.reader([line], delimiter=delimiter)) for line in lines[:2])
        named = len(header) > 1 and any(metrics.step_rank(cell) is not None for cell in header)
        return named and len(row) == len(header) and not len(floats(header)[0]) and len(floats(row)[0]) > 0

    def group(self, path: Path) -> Hashable:
        return path

    def read(self, paths: Sequence[Path]) -> list[History]:
        (path,) = paths
        header, columns = _columns(path)
        found = []
        for run, own in _by_run(header, run_name(path)).items():
            frame = Frame.of_columns({key: columns[i] for i, key in own})
            found += histories(_without_gaps(frame), About(run, path, "CSV"))
        if not found:
            raise InputError(f"{path}: no numbers in it; expected a step column and a column of scores")
        if any(_EXPORTED in name for name in header) or "wall time" in map(str.lower, header):
            for history in found:
                seen = max(map(len, history.columns.values()), default=0)
                history.notes.append(f"an export may be a sample of the history: {seen} points seen")
        return found


def delimiter_of(line: str) -> str:
    """The delimiter of a header line, by how often it stands there."""
    return max("\t;,", key=line.count) if any(c in line for c in "\t;,") else ("|" if "|" in line else ",")


def _columns(path: Path) -> tuple[list[str], list[Sequence[Any]]]:
    text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    while text.startswith("#") or (text[:1] in "\r\n" and text):
        text = text.partition("\n")[2]  # comments before the header
    head = text.partition("\n")[0]
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter_of(head)) if row]
    except csv.Error as error:
        raise InputError(f"{path}: not a table: {error}") from None
    if not rows:
        raise InputError(f"{path}: empty; expected a header line and rows")
    rows = [rows[0], *(row for row in rows[1:] if row != rows[0])]  # a run that appends writes its header again
    header = [cell.strip() for cell in rows[0]]
    if len(floats([cell for cell in header if cell])[0]) == len([c for c in header if c]):
        raise InputError(f"{path}, line 1: expected a header with the columns' names, found numbers")
    if header[: len(_MONITOR)] == _MONITOR:
        header = ["episode_reward", "episode_length", *header[2:]]  # stable-baselines3's monitor.csv
    width = len(header)
    if all(len(row) == width for row in rows):
        columns: list[Sequence[Any]] = list(zip(*rows[1:], strict=True)) or [()] * width
    else:
        columns = [[row[i] if i < len(row) else "" for row in rows[1:]] for i in range(width)]
    _check_steps(path, header, columns)
    return header, columns


def _check_steps(path: Path, header: Sequence[str], columns: Sequence[Sequence[Any]]) -> None:
    """A word where the only step belongs is a damaged table and no row without a step."""
    steps = [i for i, key in enumerate(header) if metrics.step_rank(key) is not None]
    if len(steps) != 1:
        return
    cells = columns[steps[0]]
    if len(floats(cells)[0]) == len(cells):
        return
    for line, cell in enumerate(cells, start=2):
        if cell.strip() and not any(c.isdigit() for c in cell) and cell.strip().lower() not in ("nan", "none", "null"):
            raise InputError(f"{path}, line {line}: expected a number in column {header[steps[0]]!r}, found {cell!r}")


def _by_run(header: Sequence[str], name: str) -> dict[str, list[tuple[int, str]]]:
    """Per run the (column, key) pairs. W&B names columns `run - metric`; columns named after seeds or runs are runs."""
    shared = [(i, key) for i, key in enumerate(header) if metrics.step_rank(key) is not None and _EXPORTED not in key]
    runs: dict[str, list[tuple[int, str]]] = {}
    seeds = [key for key in header if _RUN_COLUMN.match(key) and metrics.role_of(key) == "aside"]
    if len(seeds) > 1 and not any(metrics.role_of(key) != "aside" for key in header):
        return {key: [*shared, (i, "value")] for i, key in enumerate(header) if key in seeds}
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
