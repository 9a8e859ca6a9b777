"""Paths of any kind to trajectories: run directories, studies, log files, and directories of log files."""

from __future__ import annotations

import glob
import warnings
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crestfall.analysis.importers.base import HEAD_BYTES, History, Importer
from crestfall.analysis.importers.history import to_trajectory
from crestfall.analysis.trajectory import Trajectory, read_run, read_study
from crestfall.core.errors import CrestfallWarning, InputError
from crestfall.core.registry import components
from crestfall.store.layout import RUN_FILE, is_run, is_study

KNOWN = (
    "a run directory, trainer_state.json, JSONL, CSV, a TensorBoard event file, step_*.metrics.json or a console log"
)


def load(paths: Sequence[str | Path], metric: str | None = None) -> list[Trajectory]:
    """Every run that the paths hold, in order. A path may be a shell pattern that no shell has expanded.

    `metric`: the key to judge foreign logs by. Inside a directory, files that cannot be read or lack the metric are
    left out with a warning; a path that was named is an error.

    Raises:
        InputError: nothing there, an unknown format, a broken file, no such metric, no evaluated step.
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
    found += [to_trajectory(history, metric) for group in _groups(files) for history in group.read()]
    if not found:
        raise InputError(f"{paths[0]}: no step has been evaluated yet")
    return found


def _expanded(paths: Iterable[str | Path]) -> list[Path]:
    out: list[Path] = []
    for path in map(Path, paths):
        matches = [] if path.exists() else sorted(glob.glob(str(path)))
        out += map(Path, matches) if matches else [path]
    return out


def _directory(path: Path, metric: str | None) -> list[Trajectory]:
    """Everything below a directory that is a run directory or that an importer knows."""
    runs = sorted(p.parent for p in path.rglob(RUN_FILE))
    found = [t for run in runs for t in read_run(run).campaigns]
    files = [p for p in sorted(path.rglob("*")) if p.is_file() and not any(r in p.parents for r in runs)]
    refused: list[InputError] = []
    for group in _groups([p for p in files if importer_of(p) is not None]):
        try:
            found += [to_trajectory(history, metric) for history in group.read()]
        except InputError as error:
            refused.append(error)
    if not found and refused:
        raise refused[0]
    if not found:
        raise InputError(f"{path}: no log in this directory; expected {KNOWN}")
    for reason in refused:
        warnings.warn(f"left out: {reason}", CrestfallWarning, stacklevel=3)
    return found


@dataclass
class _Group:
    """Files that are one run, with the importer that claims them."""

    importer: Importer
    paths: list[Path]

    def read(self) -> list[History]:
        return self.importer.read(self.paths)


def _groups(files: Iterable[Path]) -> list[_Group]:
    groups: dict[tuple[str, Hashable], _Group] = {}
    for path in files:
        importer = importer_of(path)
        if importer is None:
            raise InputError(f"{path}: not a log that crestfall knows; expected {KNOWN}")
        groups.setdefault((importer.name, importer.group(path)), _Group(importer, [])).paths.append(path)
    return list(groups.values())


def importer_of(path: Path) -> Importer | None:
    """The importer that claims a file, by its name and first bytes; None where none does."""
    with path.open("rb") as f:
        head = f.read(HEAD_BYTES)
    for cls in components("importer").values():
        importer: Importer = cls()
        if importer.claims(path, head):
            return importer
    return None
