"""Paths of any kind to trajectories: run directories, studies, log files, directories of log files, stdin, W&B."""

from __future__ import annotations

import glob
import sys
import tempfile
import warnings
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from crestfall.analysis.importers.archives import is_archive, unpacked
from crestfall.analysis.importers.base import HEAD_BYTES, History, Importer
from crestfall.analysis.importers.history import to_trajectories
from crestfall.analysis.importers.metrics import role_of
from crestfall.analysis.importers.names import merged, told_apart
from crestfall.analysis.importers.pieces import joined
from crestfall.analysis.importers.refusals import AIM, KNOWN, advice_on, refusal
from crestfall.analysis.importers.steps import COUNTED
from crestfall.analysis.importers.text import head_of
from crestfall.analysis.importers.wandb_online import SCHEME, read_online
from crestfall.analysis.trajectory import Trajectory, read_run, read_study
from crestfall.core.errors import CrestfallError, CrestfallWarning, InputError, MissingExtraError
from crestfall.core.registry import components
from crestfall.store.files import endless
from crestfall.store.layout import RUN_FILE, cell_log, is_run, is_study

STDIN = "-"


def load(
    paths: Sequence[str | Path], metric: str | Sequence[str] | None = None, samples: int | None = None
) -> list[Trajectory]:
    """Every run that the paths hold, in order, each once. A path may be a shell pattern that no shell has expanded,
    `-` for stdin, or `wandb://ENTITY/PROJECT/RUN`.

    `metric`: the keys (or globs) to judge foreign logs by. `samples`: how many graded samples are behind each of their
    values. Inside a directory, files that cannot be read or lack the metric are left out with a warning; a path that
    was named is an error.

    Raises:
        InputError: nothing there, an unknown format, a broken file, no such metric, no evaluated step, the same path
            twice.
    """
    asked = _Asked(() if metric is None else (metric,) if isinstance(metric, str) else tuple(metric), samples)
    found: list[Trajectory] = []
    files: list[Path] = []
    with ExitStack() as stack:
        for path in _expanded(paths):
            if str(path).startswith(SCHEME.rstrip("/")):
                online = [t for h in read_online(_address(path)) for t in asked.of(h)]
                found += online
            elif str(path) == STDIN or _is_stream(path):
                files.append(_kept(path, stack))
            elif is_study(path):
                found += [t for run in read_study(path).runs for t in run.campaigns]
            elif is_run(path):
                found += read_run(path).campaigns
            elif path.is_dir():
                found += _directory(path, asked)
            elif path.exists() and is_archive(path):
                found += _archive(path, asked, stack)
            elif path.exists():
                files.append(path)
            else:
                raise InputError(f"{path}: no such file or directory")
        found += [
            t for history in joined([h for group in _groups(files) for h in group.read()]) for t in asked.of(history)
        ]
    if not found:
        raise InputError(f"{paths[0]}: no step has been evaluated yet")
    return told_apart(found)


@dataclass(frozen=True)
class _Asked:
    metrics: tuple[str, ...]
    samples: int | None

    def of(self, history: History) -> list[Trajectory]:
        return to_trajectories(history, self.metrics, self.samples)


def _expanded(paths: Iterable[str | Path]) -> list[Path]:
    out: list[Path] = []
    seen: set[Path] = set()
    for path in map(Path, paths):
        matches = [] if path.exists() else sorted(glob.glob(str(path)))
        for one in map(Path, matches) if matches else [path]:
            if one.exists() and one.resolve() in seen:
                raise InputError(f"{one}: this path was given twice; expected each path once")
            seen.add(one.resolve())
            out.append(one)
    return out


def _address(path: Path) -> str:
    return SCHEME + str(path).removeprefix(SCHEME.rstrip("/")).lstrip("/")  # Path has made one slash of two


def _is_stream(path: Path) -> bool:
    return path.exists() and (path.is_fifo() or path.is_char_device() or str(path) == "/dev/stdin")


def _kept(path: Path, stack: ExitStack) -> Path:
    """Copy a stream into a temporary file, since importers read its beginning first. Raises InputError."""
    if endless(path):
        raise InputError(f"{path}: a device that never ends, expected a log")
    data = sys.stdin.buffer.read() if str(path) == STDIN else path.read_bytes()
    file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "stdin"
    file.write_bytes(data)
    return file


def _archive(path: Path, asked: _Asked, stack: ExitStack) -> list[Trajectory]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()), path.name.partition(".")[0])
    folder.mkdir()
    only = unpacked(path, folder)
    try:
        found = _directory(only, asked) if only == folder else load([only], asked.metrics or None, asked.samples)
    except InputError as error:
        raise InputError(str(error).replace(str(folder), str(path))) from None
    return [replace(t, source=path / t.source.relative_to(folder)) for t in found]


def _directory(path: Path, asked: _Asked) -> list[Trajectory]:
    """Everything below a directory that is a run directory or that an importer knows."""
    runs = sorted(p.parent for p in path.rglob(RUN_FILE))
    found: list[Trajectory] = []
    refused: list[CrestfallError] = []
    for run in runs:
        try:
            found += read_run(run).campaigns
        except InputError as error:
            refused.append(error)
    printed = {cell_log(run) for run in runs}
    files = [p for p in sorted(path.rglob("*")) if p.is_file() and not any(r in p.parents for r in runs)]
    files = [p for p in files if p not in printed]
    surely: list[History] = []
    guessed: list[History] = []
    for group in _groups([p for p in files if AIM not in p.parts], refused):
        sure = group.importer.order < _GUESSED
        try:
            (surely if sure else guessed).extend(group.read())
        except (InputError, MissingExtraError) as error:
            refused += [error] if sure else []
    for sure, histories in ((True, surely), (False, guessed)):
        histories.sort(key=lambda history: COUNTED in history.notes)
        for history in joined(histories):
            if found and COUNTED in history.notes:
                continue  # beside logs with steps a table without them is none
            try:
                judged = asked.of(history)
            except InputError as error:
                refused.append(error)
                continue
            found += [t for t in judged if sure or asked.metrics or role_of(t.metric) != "aside"]
    if not found and refused:
        raise refused[0]
    if not found:
        advice = next(filter(None, map(advice_on, files)), None)
        raise InputError(advice or f"{path}: no log in this directory; expected {KNOWN}")
    for reason in dict.fromkeys(map(str, refused)):
        warnings.warn(f"left out: {reason}", CrestfallWarning, stacklevel=3)
    return merged(found)


_GUESSED = 6
"""Importers from this order on take files by their syntax alone: in a directory, what they cannot read, or what holds
no score that is known, is no log."""


@dataclass
class _Group:
    """Files that are read together, with the importer that claims them."""

    importer: Importer
    paths: list[Path]

    def read(self) -> list[History]:
        return self.importer.read(self.paths)


def _groups(files: Iterable[Path], refused: list[CrestfallError] | None = None) -> list[_Group]:
    """`refused`: takes errors of files that cannot be opened; None: they are raised."""
    groups: dict[tuple[str, Hashable], _Group] = {}
    for path in files:
        try:
            importer = importer_of(path)
        except InputError as error:
            if refused is None:
                raise
            refused.append(error)
            continue
        if importer is None:
            if refused is None:
                raise InputError(refusal(path))
            continue
        groups.setdefault((importer.name, importer.group(path)), _Group(importer, [])).paths.append(path)
    return list(groups.values())


def importers() -> Iterator[Importer]:
    """All of them, formats of one tool before syntaxes."""
    yield from sorted((cls() for cls in components("importer").values()), key=lambda importer: importer.order)


def importer_of(path: Path) -> Importer | None:
    """The first importer that claims a file, by its name and first bytes. Raises InputError for one that cannot be
    read."""
    head = head_of(path, HEAD_BYTES)
    if not head.strip():
        raise InputError(f"{path}: the file is empty; expected {KNOWN}")
    return next((importer for importer in importers() if importer.claims(path, head)), None)
