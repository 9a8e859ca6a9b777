"""CSV with a step column: plain tables, W&B exports (a column per run, `run - metric`) and TensorBoard exports.

Exports of web pages are samples of the history: the note says how many points were seen.
"""

from __future__ import annotations

import csv
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crestfall.analysis.importers.base import History, step_number
from crestfall.core.errors import InputError
from crestfall.core.keys import STEP_KEYS
from crestfall.core.registry import register

_ASIDE = {"n", "wall time", "epoch", "timestamp", "_timestamp", "_runtime"}
_EXPORTED = " - "


@register("importer", "csv")
@dataclass(frozen=True)
class Table:
    """CSV with a step column: plain, W&B export, TensorBoard export."""

    def claims(self, path: Path, head: bytes) -> bool:
        return path.suffix.lower() in (".csv", ".tsv")

    def group(self, path: Path) -> Hashable:
        return path

    def read(self, paths: Sequence[Path]) -> list[History]:
        (path,) = paths
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as f:
            rows = csv.reader(f, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            header = [cell.strip() for cell in next(rows, [])]
            step_at = _step_column(path, header)
            columns = [
                (i, *_run_and_key(path, name))
                for i, name in enumerate(header)
                if i != step_at
                and name.lower() not in _ASIDE
                and not name.endswith(("__MIN", "__MAX"))
                and not name.lower().endswith(tuple(STEP_KEYS))
            ]
            n_at = header.index("n") if "n" in header else None
            histories = {run: History(run, path, "CSV") for _, run, _ in columns}
            for line, row in enumerate(rows, start=2):
                step = step_number(row[step_at]) if step_at < len(row) else None
                if step is None:
                    if any(cell.strip() for cell in row):
                        raise InputError(f"{path}, line {line}: expected a number in column {header[step_at]!r}")
                    continue
                n = step_number(row[n_at]) if n_at is not None and n_at < len(row) else None
                for i, run, key in columns:
                    if i < len(row):
                        histories[run].add(step, ((key, row[i]),))
                        if n:
                            histories[run].samples.setdefault(key, {})[step] = n
        if any(_EXPORTED in name for name in header) or "wall time" in [name.lower() for name in header]:
            for history in histories.values():
                seen = max(map(len, history.points.values()), default=0)
                history.notes.append(f"an export may be a sample of the history: {seen} points seen")
        return [history for history in histories.values() if history.points]


def _step_column(path: Path, header: Sequence[str]) -> int:
    lower = [name.lower() for name in header]
    for key in (*STEP_KEYS, "epoch"):
        if key.lower() in lower:
            return lower.index(key.lower())
    raise InputError(f"{path}, line 1: no step column; expected one of {', '.join(STEP_KEYS)}")


def _run_and_key(path: Path, column: str) -> tuple[str, str]:
    """W&B names its columns `run - metric`; a plain table is one run."""
    run, dash, key = column.rpartition(_EXPORTED)
    return (run, key) if dash else (path.stem, column.lower() if column == "Value" else column)
