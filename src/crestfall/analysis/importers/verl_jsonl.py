"""verl's file logger: JSON lines `{"step": ..., "data": {...}}`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crestfall.analysis.importers.base import History
from crestfall.analysis.importers.text import first_object, flat
from crestfall.core.errors import InputError
from crestfall.core.registry import register
from crestfall.store.jsonl import read_objects


@register("importer", "verl_jsonl")
@dataclass(frozen=True)
class VerlJsonl:
    """verl's JSONL file logger."""

    def claims(self, path: Path, head: bytes) -> bool:
        first = first_object(head)
        return first is not None and "step" in first and isinstance(first.get("data"), dict)

    def group(self, path: Path) -> Hashable:
        return path

    def read(self, paths: Sequence[Path]) -> list[History]:
        (path,) = paths
        history = History(path.stem, path, "verl JSONL")
        for line, row in read_objects(path, growing=True):
            if not isinstance(row.get("step"), int) or not isinstance(row.get("data"), dict):
                raise InputError(f"{path}, line {line}: expected an integer 'step' and an object 'data'")
            history.add(row["step"], flat(row["data"]))
        return [history]
