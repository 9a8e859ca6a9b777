"""SwanLab's local runs: `backup.swanlab`, and the folders `logs/KEY/*.log` of older versions."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

from crestfall.analysis.importers.base import History
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.frame import About, histories_or_error
from crestfall.analysis.importers.leveldb import records
from crestfall.analysis.importers.text import content, first_object
from crestfall.core.errors import InputError
from crestfall.core.registry import register
from crestfall.store.jsonl import lines_of, objects

BACKUP = "backup.swanlab"


@register("importer", "swanlab")
@dataclass(frozen=True)
class SwanLab:
    """SwanLab's local run folders."""

    order: ClassVar[int] = 0

    def claims(self, path: Path, head: bytes) -> bool:
        return path.name == BACKUP or (_is_log(path, head) and not (_folder(path) / BACKUP).exists())

    def group(self, path: Path) -> Hashable:
        return _folder(path)

    def read(self, paths: Sequence[Path]) -> list[History]:
        run = _folder(paths[0])
        name, rows = run.name, dict[int, dict[str, Any]]()
        for path in sorted(paths):
            try:
                if path.name == BACKUP:
                    for kind, data in map(_record, records(path, b":SWL")):
                        name = data["name"] or name if kind == "Experiment" else name
                        if kind == "Scalar":
                            rows.setdefault(data["step"], {})[data["key"]] = data["metric"]["data"]
                else:
                    for _, row in objects(lines_of(content(path)), path, growing=True):
                        rows.setdefault(row["index"], {})[unquote(path.parent.name)] = row["data"]
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}: expected the records of a SwanLab run: {error!r}") from None
        frame = Frame.of({"step": step, **rows[step]} for step in sorted(rows))
        return histories_or_error(frame, About(name, paths[0] if len(paths) == 1 else run, "SwanLab"), "scores")


def _record(data: bytes) -> tuple[str, dict[str, Any]]:
    record = json.loads(data)
    return record["model_type"], record["data"]


def _is_log(path: Path, head: bytes) -> bool:
    return path.suffix == ".log" and path.parent.parent.name == "logs" and (first_object(head) or {}).keys() >= _KEYS


_KEYS = {"index", "data", "create_time"}


def _folder(path: Path) -> Path:
    return path.parent if path.name == BACKUP else path.parents[2]
