"""A study: methods x seeds of chains. Each cell is a run directory of its own and a process of its own.

Running a study again runs what is missing. A cell that fails takes no other along. What starts cells, and where, is an
`Executor`; the loop here knows neither processes nor clusters.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from crestfall.store.files import digest
from crestfall.store.run_directory import CELLS, STUDY_FILE, read_meta, reject_other_config, write_json
from crestfall.testbed.config import RunConfig, StudyConfig, resolved

STOPPED = 130
"""Exit code of a cell that was asked to stop and did so after a finished, saved step."""


@dataclass(frozen=True)
class Cell:
    """One chain of a study."""

    config: RunConfig
    path: Path
    """Its run directory."""

    @property
    def name(self) -> str:
        return f"{self.config.method}/seed-{self.config.seed}"

    @property
    def log(self) -> Path:
        """What its process prints."""
        return self.path.with_name(f"{self.path.name}.log")

    def done(self) -> bool:
        meta = read_meta(self.path)
        return meta is not None and meta["status"] == "done"


class Job(Protocol):
    """A cell at work."""

    def poll(self) -> int | None:
        """The exit code, None while it runs: 0 done, 130 stopped when asked to, anything else failed."""
        ...

    def ask_to_stop(self) -> None:
        """Let it finish its step and save."""
        ...

    def kill(self) -> None: ...


class Executor(Protocol):
    """What starts cells. One class adds one: a cell needs `cell.config` and a place to write `cell.path`."""

    def capacity(self) -> int:
        """Cells that it can run at a time."""
        ...

    def start(self, cell: Cell) -> Job: ...


class Watcher(Protocol):
    """Somebody who is told how the cells do."""

    def started(self, cell: Cell) -> None: ...

    def ended(self, cell: Cell, code: int) -> None: ...

    def tick(self) -> None:
        """Called a few times a second."""
        ...


def cells_of(study: StudyConfig, out: Path) -> list[Cell]:
    return [Cell(config, out / CELLS / config.method / f"seed-{config.seed}") for config in study.cells()]


def prepare(study: StudyConfig, out: Path) -> list[Cell]:
    """Write study.json. Returns the cells. Methods and seeds may have been added since the last time.

    Raises:
        RunDirectoryError: a cell was run with another configuration, or the directory cannot be written.
    """
    cells = cells_of(study, out)
    for cell in cells:
        meta = read_meta(cell.path)
        if meta is not None:
            reject_other_config(cell.path, meta["config"], resolved(cell.config))
    config = resolved(study)
    listed = [
        {"method": cell.config.method, "seed": cell.config.seed, "path": str(cell.path.relative_to(out))}
        for cell in cells
    ]
    meta = {"config": config, "config_digest": digest(config), "cells": listed}
    write_json(out / STUDY_FILE, meta)
    return cells


def run_cells(
    cells: Sequence[Cell],
    executor: Executor,
    workers: int,
    watcher: Watcher,
    should_stop: Callable[[], bool],
    pause: Callable[[float], Any] = time.sleep,
) -> None:
    """Run these cells, `workers` at a time, in their order. Asked to stop, lets each finish its step.

    Raises:
        KeyboardInterrupt: stopped before all were done.
    """
    waiting, running = deque(cells), dict[str, tuple[Cell, Job]]()
    stopping = False
    try:
        while running or (waiting and not stopping):
            if should_stop() and not stopping:
                stopping = True
                for _, job in running.values():
                    job.ask_to_stop()
            while waiting and len(running) < workers and not stopping:
                cell = waiting.popleft()
                running[cell.name] = cell, executor.start(cell)
                watcher.started(cell)
            for name, (cell, job) in list(running.items()):
                code = job.poll()
                if code is not None:
                    del running[name]
                    watcher.ended(cell, code)
            watcher.tick()
            pause(0.2)
    finally:
        for _, job in running.values():  # only where this loop itself was torn away
            job.kill()
    if stopping:
        raise KeyboardInterrupt
