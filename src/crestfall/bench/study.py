"""Cells of a study two at a time against the same cells one after the other: one thread and one grading worker each.

Both sides run the same cells from nothing, in processes of their own, through the study's own executor; what a process
needs to start is part of both. Which side goes first changes from round to round, so that neither has the warmer disk.
On a machine that does something else at the time, both are slower, and the ratio is worse than it is.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crestfall.core.errors import CrestfallError
from crestfall.store.provenance import usable_cpus
from crestfall.testbed.config import StudyConfig, study_config
from crestfall.testbed.executors import executor
from crestfall.testbed.study import Cell, cells_of, run_cells

WORKERS = 2
ROUNDS = 2
PEER = "one after the other"


def study() -> StudyConfig:
    """Four cells of equal work: short chains of a policy that nothing happens to (a tiny learning rate)."""
    return study_config(
        {
            "seeds": list(range(2 * WORKERS)),
            "methods": {"naive": {}},
            "update": {"name": "reinforce", "learning_rate": 1e-6},
            "campaign": {"steps": 5, "problems_per_step": 10, "show": 0},
            "chain": {"campaigns": 1, "final": 30},
            "grader": {"workers": 1},
        }
    )


def run(config: StudyConfig | None = None) -> dict[str, Any]:
    """Rows of peer, seconds (mean of the rounds), cells per second, ratio (the peer's time over ours), and `share`,
    ours over the peer's. Raises CrestfallError where a cell fails."""
    config = config or study()
    seconds: dict[int, list[float]] = {1: [], WORKERS: []}
    for turn in range(ROUNDS):
        for workers in (1, WORKERS) if turn % 2 == 0 else (WORKERS, 1):
            with tempfile.TemporaryDirectory() as scratch:
                seconds[workers].append(timed(cells_of(config, Path(scratch)), workers))
    cells, ours, alone = len(config.cells()), sum(seconds[WORKERS]) / ROUNDS, sum(seconds[1]) / ROUNDS
    rows = [
        {"peer": peer, "seconds": round(s, 2), "per_second": round(cells / s, 4), "ratio": round(s / ours, 2)}
        for peer, s in ((f"crestfall, {WORKERS} at a time", ours), (PEER, alone))
    ]
    return {"study": rows, "share": round(ours / alone, 3), "cells": cells, "cpus": usable_cpus()}


def timed(cells: Sequence[Cell], workers: int) -> float:
    """Seconds until all cells are done. Raises CrestfallError where one fails."""
    watcher = _Watcher()
    start = time.perf_counter()
    run_cells(cells, executor("local"), workers, watcher, lambda: False, pause=lambda _: time.sleep(0.02))
    seconds = time.perf_counter() - start
    if watcher.failed:
        name, code, log = watcher.failed[0]
        raise CrestfallError(f"bench study: cell {name} ended with exit code {code}: {log}")
    return seconds


class _Watcher:
    """Remembers what failed, and the last line that it printed."""

    def __init__(self) -> None:
        self.failed: list[tuple[str, int, str]] = []

    def started(self, cell: Cell) -> None: ...

    def ended(self, cell: Cell, code: int) -> None:
        if code:
            printed = cell.log.read_text(errors="replace").strip().splitlines()
            self.failed.append((cell.name, code, printed[-1] if printed else "it printed nothing"))

    def tick(self) -> None: ...
