"""`trainer_state.json` of TRL and transformers: training and evaluation rows mixed, each with its step.

A checkpoint's state holds the whole history up to it: of the checkpoints of one output directory the last is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from crestfall.analysis.importers.base import History
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.frame import About, histories_or_error
from crestfall.analysis.importers.text import content
from crestfall.core.errors import InputError
from crestfall.core.registry import register

STATE = "trainer_state.json"
EXPECTED = "an object with log_history, rows with a step"
_CHECKPOINT = re.compile(r"checkpoint[-_]\d+")


def without_checkpoint(path: Path) -> Path:
    """The place of a run's state, whichever checkpoint it was found in: they come and go."""
    return path.parent.parent / path.name if _CHECKPOINT.fullmatch(path.parent.name) else path


@register("importer", "trl_state")
@dataclass(frozen=True)
class TrlState:
    """TRL / transformers trainer_state.json."""

    order: ClassVar[int] = 1

    def claims(self, path: Path, head: bytes) -> bool:
        return path.name == STATE or (path.suffix == ".json" and b'"log_history"' in head)

    def group(self, path: Path) -> Hashable:
        return path if path.name != STATE else without_checkpoint(path.resolve())

    def read(self, paths: Sequence[Path]) -> list[History]:
        states = [(path, _rows(path)) for path in paths]
        path, rows = max(states, key=lambda state: (_last_step(state[1]), len(state[1]), -len(state[0].parts)))
        directory = path.resolve().parent
        is_checkpoint = _CHECKPOINT.fullmatch(directory.name) and len(paths) > 1
        name = directory.parent.name if is_checkpoint else path.parent.name or path.stem
        notes: tuple[str, ...] = ()
        if len(paths) > 1:
            apart = sum(not _holds(rows, other) for p, other in states if p != path)
            notes = (f"{len(paths)} states of one run were found; {path.parent.name or path}, the last, is read",)
            notes += (f"{apart} of them hold rows that the last one lacks",) if apart else ()
        columns = Frame.of({k: v for k, v in row.items() if k != "epoch"} for row in rows)
        return histories_or_error(columns, About(name, path, "trainer_state.json", notes=notes), EXPECTED)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows = json.loads(content(path))["log_history"]
        if not all("step" in row for row in rows):
            raise KeyError("step")
        return list(rows)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected {EXPECTED}: {error!r}") from error


def _last_step(rows: Sequence[dict[str, Any]]) -> float:
    return max((float(row["step"]) for row in rows), default=-1.0)


def _holds(rows: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> bool:
    whole = {(row["step"], frozenset(row)): row for row in rows}
    return all(whole.get((row["step"], frozenset(row))) == row for row in other)
