"""Paths of any kind to trajectories: run directories, studies, log files, and directories of log files."""

from __future__ import annotations

import glob
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

from crestfall.analysis.trajectory import Trajectory, is_run, is_study, read_run, read_study
from crestfall.errors import InputError
from crestfall.integrations.importers.base import HEAD_BYTES, History, Importer
from crestfall.integrations.importers.history import to_trajectory
from crestfall.registry import components

KNOWN = (
    "a run directory, trainer_state.json, JSONL, CSV, a TensorBoard event file, step_*.metrics.json or a console log"
)


def load(paths: Sequence[str | Path], metric: str | None = None) -> list[Trajectory]:
    """Every run that the paths hold, in order. A path may be a shell pattern that no shell has expanded.

    `metric`: the key to judge foreign logs by; files found inside a directory that lack it are left out.

    Raises:
        InputError: nothing there, an unknown format, a broken file, no such metric.
    """
    found: list[Trajectory] = []
    files: list[Path] = []
    for path in _expanded(paths):
        if is_study(path):
            found += [t for run in read_study(path).runs for t in run.campaigns]
        elif is_run(path):
            found += read_run(path).campaigns
        elif path.is_dir():
            found += _directory(path, metric)
        elif path.exists():
            files.append(path)
        else:
            raise InputError(f"{path}: no such file or directory")
    return found + [to_trajectory(history, metric) for history in _histories(files)]


def _expanded(paths: Iterable[str | Path]) -> list[Path]:
    out: list[Path] = []
    for path in map(Path, paths):
        matches = [] if path.exists() else sorted(glob.glob(str(path)))
        out += map(Path, matches) if matches else [path]
    return out


def _directory(path: Path, metric: str | None) -> list[Trajectory]:
    """Everything below a directory that is a run directory or that an importer knows."""
    runs = sorted(p.parent for p in path.rglob("run.json"))
    found = [t for run in runs for t in read_run(run).campaigns]
    files = [p for p in sorted(path.rglob("*")) if p.is_file() and not any(r in p.parents for r in runs)]
    histories = _histories([p for p in files if importer_of(p) is not None])
    found += [to_trajectory(h, metric) for h in histories if metric is None or metric in h.points]
    if not found:
        lacking = f" with a metric {metric!r}" if metric and histories else ""
        raise InputError(f"{path}: no log{lacking} in this directory; expected {KNOWN}")
    return found


def _histories(files: Iterable[Path]) -> list[History]:
    groups: dict[tuple[str, Hashable], tuple[Importer, list[Path]]] = {}
    for path in files:
        importer = importer_of(path)
        if importer is None:
            raise InputError(f"{path}: not a log that crestfall knows; expected {KNOWN}")
        groups.setdefault((importer.name, importer.group(path)), (importer, []))[1].append(path)
    return [history for importer, paths in groups.values() for history in importer.read(paths)]


def importer_of(path: Path) -> Importer | None:
    """The importer that claims a file, by its name and first bytes; None where none does."""
    with path.open("rb") as f:
        head = f.read(HEAD_BYTES)
    for cls in components("importer").values():
        importer: Importer = cls()
        if importer.claims(path, head):
            return importer
    return None
