"""SQLite files: MLflow's store (`mlflow.db`), trackio's projects, and any table with a step column."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.base import History, OneFile
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.frame import About, histories
from crestfall.analysis.importers.jsonl import cells_of
from crestfall.core.errors import InputError
from crestfall.core.registry import register

EXPECTED = "MLflow's tables, trackio's, or a table with a step column and scores"
_MAGIC = b"SQLite format 3\x00"


@register("importer", "sqlite")
@dataclass(frozen=True)
class Sqlite(OneFile):
    """SQLite files: MLflow, trackio, and tables with a step column."""

    order: ClassVar[int] = 0

    def claims(self, path: Path, head: bytes) -> bool:
        return head.startswith(_MAGIC)

    def read_one(self, path: Path) -> list[History]:
        try:
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
                found = list(_runs(db, path))
        except sqlite3.Error as error:
            raise InputError(f"{path}: the database cannot be read: {error}") from None
        if not found:
            raise InputError(f"{path}: expected {EXPECTED}")
        return found


def _runs(db: sqlite3.Connection, path: Path) -> Iterator[History]:
    names = [name for (name,) in db.execute("select name from sqlite_master where type = 'table' order by name")]
    tables = {name: [row[1] for row in db.execute(f"pragma table_info({_quoted(name)})")] for name in names}
    columns = set(tables.get("metrics", ()))
    if {"run_uuid", "key", "value", "step"} <= columns:
        yield from _mlflow(db, path, "lifecycle_stage" in tables.get("runs", ()))
    elif {"run_name", "step", "metrics"} <= columns:
        yield from _trackio(db, path)
    else:
        for name, keys in tables.items():
            scored = any(metrics.role_of(key) != "aside" for key in keys)
            if scored and any(metrics.step_rank(key) is not None for key in keys):
                rows = db.execute(f"select * from {_quoted(name)}").fetchall()
                label = path.stem if len(tables) == 1 else f"{path.stem} {name}"
                yield from histories(Frame.of(dict(zip(keys, row, strict=True)) for row in rows), _about(label, path))


def _mlflow(db: sqlite3.Connection, path: Path, staged: bool) -> Iterator[History]:
    alive = "where lifecycle_stage <> 'deleted'" if staged else ""
    for run, name in db.execute(f"select run_uuid, name from runs {alive} order by start_time, run_uuid").fetchall():
        history = History(name or run, path, "MLflow")
        points: dict[str, list[tuple[int, float]]] = {}
        for key, step, value, is_nan in db.execute(
            "select key, step, value, is_nan from metrics where run_uuid = ? order by timestamp, step", (run,)
        ):
            points.setdefault(key, []).append((step, float("nan") if is_nan else value))
        for key, both in points.items():
            history.add(key, [step for step, _ in both], [value for _, value in both])
        if history.columns:
            yield history


def _trackio(db: sqlite3.Connection, path: Path) -> Iterator[History]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, step, raw in db.execute("select run_name, step, metrics from metrics order by id"):
        try:
            cells = dict(cells_of(json.loads(raw)))
        except ValueError as error:
            raise InputError(f"{path}: metrics of run {name!r}, step {step}: not JSON: {error}") from None
        rows.setdefault(name, []).append({"_step": step, **cells})
    for name, own in rows.items():
        yield from histories(Frame.of(own), _about(name, path))


def _about(name: str, path: Path) -> About:
    return About(name, path, "SQLite")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
