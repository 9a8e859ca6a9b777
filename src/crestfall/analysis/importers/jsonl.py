"""JSON lines: metrics of prime-rl, tinker and verl's file logger, LLaMA-Factory, ms-swift, W&B histories, Ray results.

Nested objects are flattened; what stands below `data` or `metrics` alone is the row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.base import History, OneFile
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.console import read_lines
from crestfall.analysis.importers.frame import About, histories_or_error
from crestfall.analysis.importers.text import content, first_object, flat, run_name, suffix_of
from crestfall.analysis.importers.text import lines_of as text_lines
from crestfall.core.errors import InputError
from crestfall.core.registry import register
from crestfall.store.jsonl import lines_of, object_in, objects
from crestfall.store.layout import EVENTS_FILE

_OBJECT = re.compile(rb'\{"')
_MESSAGES = ("log", "message", "msg", "textPayload", "line", "text")
TINKERS_CHECKPOINTS = "checkpoints.jsonl"
CONTAINERS = ("data", "metrics", "values", "scalars", "stats", "logs")


@register("importer", "jsonl")
@dataclass(frozen=True)
class Jsonl(OneFile):
    """JSON lines: verl, prime-rl, tinker, W&B, LLaMA-Factory, ms-swift, Ray, plain."""

    order: ClassVar[int] = 5

    def claims(self, path: Path, head: bytes) -> bool:
        if path.name in (EVENTS_FILE, TINKERS_CHECKPOINTS):
            return False
        lines = suffix_of(path) in (".jsonl", ".ndjson") and not head.lstrip().startswith(b"[")
        first = first_object(head)
        return lines or (first is not None and "log_history" not in first and b"\n{" in head)

    def read_one(self, path: Path) -> list[History]:
        lines = list(lines_of(content(path)))
        frame, notes = Frame(), tuple[str, ...]()
        try:
            rows = list(objects(lines, path, growing=True))
        except InputError:
            rows, notes = _repaired(lines, path)
        for _, row in rows:
            frame.append(cells_of(row))
        about = About(run_name(path), path, "JSONL", notes=notes)
        return _messages(frame, about) or histories_or_error(frame, about, "rows with a step and a score")


def _repaired(lines: list[bytes], path: Path) -> tuple[list[tuple[int, dict[str, Any]]], tuple[str, ...]]:
    """The rows without other output between them, or a row that a kill cut off before the next, and a note.

    Raises InputError for a damaged row, and where most lines are no rows.
    """
    objects_of = [_object_of(line) for line in lines]
    changed = [i for i, line in enumerate(lines) if line.strip() and objects_of[i] != line]
    rows = list(objects(objects_of if 2 * len(changed) < len(lines) else lines, path, growing=True))
    return rows, (f"{len(changed)} lines, the first is line {changed[0] + 1}, hold no row: left out",)


def _object_of(line: bytes) -> bytes:
    if not line.lstrip().startswith(b"{"):
        return b"\n"
    found = (line[m.start() :] for m in _OBJECT.finditer(line))
    return next((rest for rest in found if object_in(rest) is not None), line)


def _messages(frame: Frame, about: About) -> list[History]:
    """Histories of a log whose objects each wrap a line of a console (Docker, Kubernetes, JSON loggers)."""
    key = next((key for key in _MESSAGES if key in frame.cells), None)
    if key is None or any(metrics.role_of(key) != "aside" for key in frame.cells):
        return []
    return read_lines([line for raw in frame.cells[key][1] for line in text_lines(str(raw))], about)


def cells_of(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The cells of a row: nested objects and lists of {name, value} flattened, a container's name left out."""
    for key, value in row.items():
        if (
            isinstance(value, list)
            and value
            and all(isinstance(x, dict) and {"name", "value"} <= x.keys() for x in value)
        ):
            yield from ((str(x["name"]), x["value"]) for x in value)
        elif not isinstance(value, dict):
            yield key, value
        elif key in CONTAINERS:
            yield from flat(value)
        else:
            yield from flat(value, f"{key}/")
