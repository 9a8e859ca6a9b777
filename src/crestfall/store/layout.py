"""The names of all files in a run's and a study's directory, in one place. What they hold: docs/run_directory.md."""

from __future__ import annotations

import os
from pathlib import Path

RUN_FILE = "run.json"
EVENTS_FILE = "events.jsonl"
CHECKPOINTS = "checkpoints"
STATE_FILE = f"{CHECKPOINTS}/state.json"
MEMORY_FILE = "memory.json"
REPORT_FILE = "report.html"
INDEX_FILE = "index.html"
"""In a folder that holds runs and studies."""
LOCK_FILE = ".lock"

SNAPSHOT_FILE = "snapshot.safetensors"
"""In a snapshot's own directory below `CHECKPOINTS`."""
DONE_FILE = "DONE"
"""Beside it, written last: without it the snapshot is incomplete."""

STUDY_FILE = "study.json"
CELLS = "cells"


def is_run(path: Path) -> bool:
    return os.path.lexists(path / RUN_FILE)


def is_study(path: Path) -> bool:
    return os.path.lexists(path / STUDY_FILE)


def cell_path(study: Path, method: str, seed: int) -> Path:
    """The run directory of a study's cell."""
    return study / CELLS / method / f"seed-{seed}"


def cell_log(cell: Path) -> Path:
    """Log of the process of a cell."""
    return cell.with_name(f"{cell.name}.log")


def cells_in(study: Path) -> list[Path]:
    """The cells of a study that have begun, by method and seed: also those whose run.json has got lost."""
    found = [file for name in (RUN_FILE, EVENTS_FILE) for file in (study / CELLS).glob(f"*/seed-*/{name}")]
    return sorted({file.parent for file in found})
