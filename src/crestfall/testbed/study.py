"""A study: methods x seeds of chains. Each cell is a run directory of its own and a process of its own.

Running a study again runs what is missing. A cell that fails takes no other along. What starts cells, and where, is an
`Executor`; the loop here knows neither processes nor clusters.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from crestfall.core.errors import ConfigError, RunDirectoryError
from crestfall.store.files import digest
from crestfall.store.layout import CELLS, REPORT_FILE, STUDY_FILE, cell_log, cell_path, cells_in, is_run, is_study
from crestfall.store.meta import read_meta, read_study, reject_other_config, write_json
from crestfall.store.run_directory import nothing_committed
from crestfall.testbed.config import RunConfig, StudyConfig, as_of_today, resolved

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
        """Log of its process."""
        return cell_log(self.path)

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
    """Starts the cells of a study. A new executor is one class: a cell needs `cell.config` and a place to write
    `cell.path`."""

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
    return [Cell(config, cell_path(out, config.method, config.seed)) for config in study.cells()]


def prepare(study: StudyConfig, out: Path, command: Sequence[str] = ()) -> list[Cell]:
    """Write study.json, `command` (the words after `crestfall`) in it. Returns the cells to run. Methods and seeds may
    have been added since the last time; cells that were run before and are not asked for now stay listed.

    Raises:
        RunDirectoryError: what `check_directory` says, or the directory cannot be written.
    """
    check_directory(study, out)
    cells, before = cells_of(study, out), read_study(out)
    listed = [] if before is None else [dict(cell) for cell in before["cells"] if (out / cell["path"]).exists()]
    for cell in cells:
        entry = {"method": cell.config.method, "seed": cell.config.seed, "path": str(cell.path.relative_to(out))}
        if entry not in listed:
            listed.append(entry)
    config = resolved(study)
    written = {"config": config, "config_digest": digest(config), "command": list(command), "cells": listed}
    write_json(out / STUDY_FILE, written)
    return cells


def check_directory(study: StudyConfig, out: Path) -> None:
    """Check that the study may run in `out`: every chain there has the configuration that the study gives to its
    method, whatever its seed, and whether or not this call runs that chain.

    Raises:
        RunDirectoryError: a chain has another configuration, or the directory holds something else.
    """
    _reject_other_things(out)
    known = _with_methods_of_before(study, out)
    for path in cells_in(out):
        meta = read_meta(path)
        if meta is None:
            continue  # lost: the cell itself says so, and takes no other along
        if meta["method"] not in known.methods:
            raise RunDirectoryError(
                f"{path}: a chain of method {meta['method']!r}, which this study does not have; choose another "
                f"directory with --out"
            )
        if not nothing_committed(path):
            now = resolved(known.cell(meta["method"], meta["seed"]))
            reject_other_config(path, as_of_today(meta["config"]), now)


def _reject_other_things(out: Path) -> None:
    if is_run(out):
        raise RunDirectoryError(f"{out}: holds a run; choose another directory for the study with --out")
    ours = {STUDY_FILE, CELLS, REPORT_FILE}
    try:
        others = [entry.name for entry in out.iterdir() if not entry.name.startswith(".") and entry.name not in ours]
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunDirectoryError(f"{out}: cannot be used: {error.strerror or error}") from None
    if others and not is_study(out):
        raise RunDirectoryError(f"{out}: not empty and not a study's directory; choose another with --out")


def _with_methods_of_before(study: StudyConfig, out: Path) -> StudyConfig:
    """The study, and on its shared options the methods that the directory has had beside its own."""
    before = read_study(out)
    methods = {} if before is None else before["config"].get("methods")
    try:
        if not isinstance(methods, dict):
            raise ConfigError("methods: expected a mapping")
        return study if not set(methods) - set(study.methods) else replace(study, methods={**methods, **study.methods})
    except (ConfigError, TypeError) as error:
        raise RunDirectoryError(f"{out / STUDY_FILE}: its configuration cannot be read: {error}") from None


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
