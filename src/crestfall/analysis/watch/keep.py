"""The best checkpoint so far, out of reach of the trainer's own clean-up: hard links (or copies) in a folder beside."""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crestfall.analysis.watch.monitor import View
from crestfall.core.errors import ConfigError

QUIET = 10.0
"""Seconds for which nothing in a checkpoint may have changed: before, it may still be being written or deleted."""
STEP = "{step}"
UNDER_WAY = ".crestfall-under-way-"
NOTE = ".crestfall-kept"
"""In the folder: a name that is ours and the run that it is kept for, with a tab between them, one a line (of older
versions a name alone: for every run). Nothing else there is ever deleted."""


@dataclass(frozen=True)
class Checkpoint:
    """`path` may be a folder or a file; `place` is its path below the folder that checkpoints stand in."""

    step: int
    path: Path
    place: Path


class Keeper:
    """Keeps the `most` best of the checkpoints that there are or that it has.

    A checkpoint's score is the smoothed curve's at its step. One is taken when it is better than the worst of those
    that are kept, and appears under its own name at once and whole; only then is the worst one let go.
    """

    def __init__(self, pattern: str, most: int = 1, copy: bool = False, quiet: float = QUIET) -> None:
        if pattern.count(STEP) != 1:
            raise ConfigError(f"--keep {pattern!r}: expected the path of a checkpoint with {STEP} in it, once")
        if most < 1:
            raise ConfigError(f"--keep-best {most}: expected at least 1")
        self._pattern, self._most, self._copy, self._quiet = pattern, most, copy, quiet
        self.failed: str | None = None
        """Why the last look could not keep what it should have."""

    def look(self, view: View) -> list[str]:
        """Protect what has become the best; lines that say what was done. Never raises OSError: what cannot be kept
        is said."""
        root, rest = self._places(view.source)
        kept = Kept(root.with_name(f"{root.name}-kept"), rest, view.key)
        self.failed = None
        try:
            return self._keep(view, kept, checkpoints(root, rest))
        except OSError as error:
            self.failed = f"--keep: {kept.folder}: not kept, and what was kept stays: {error.strerror or error}"
            return [self.failed]

    def _keep(self, view: View, kept: Kept, there: list[Checkpoint]) -> list[str]:
        lines = []
        ours = {c.step: c for c in kept.all()}
        candidates = {c.step: c for c in there if self._is_whole(c)} | ours
        ranked = sorted(candidates.values(), key=lambda c: (-_score(view, c.step), c.step))
        best = [c for c in ranked if np.isfinite(_score(view, c.step))][: self._most]
        for checkpoint in best:
            if checkpoint.step in ours:
                continue
            kind = kept.add(checkpoint, self._copy)
            if kind is None:
                lines.append(f"--keep: {checkpoint.path} changed while it was being kept: left to the next look")
                best = [c for c in ranked if c.step in ours]
                break
            lines.append(
                f"kept step {checkpoint.step} ({_score(view, checkpoint.step):.3f}), the best that is saved: "
                f"{kept.folder / checkpoint.place} ({kind})"
            )
        if best:
            steps = {c.step for c in best}
            for checkpoint in ours.values():
                if checkpoint.step not in steps:
                    kept.drop(checkpoint)
        return lines

    def _is_whole(self, checkpoint: Checkpoint) -> bool:
        try:
            listed = _listing(checkpoint.path)
        except OSError:
            return False
        newest = max((at for _, _, at in listed), default=None)
        return newest is not None and time.time() - newest >= self._quiet

    def _places(self, source: Path) -> tuple[Path, Path]:
        """The folder that checkpoints stand in, and the pattern below it. A relative pattern is looked for below the
        working directory, then beside the log, then one folder up."""
        parts = Path(self._pattern).parts
        at = next(i for i, part in enumerate(parts) if STEP in part)
        fixed, rest = Path(*parts[:at]), Path(*parts[at:])
        if fixed.is_absolute():
            return fixed.resolve(), rest
        beside = source if source.is_dir() else source.parent
        places = [(base / fixed).resolve() for base in (Path(), beside, beside.parent)]
        return next((place for place in places if checkpoints(place, rest)), places[0]), rest


@dataclass(frozen=True)
class Kept:
    """The folder of what is kept. Several runs may share it: what one lets go stays while it is kept for another."""

    folder: Path
    rest: Path
    run: str

    def all(self) -> list[Checkpoint]:
        names = {name for name, run in self._entries() if run in ("", self.run)}
        return [c for c in checkpoints(self.folder, self.rest) if c.place.as_posix() in names]

    def add(self, checkpoint: Checkpoint, copy: bool) -> str | None:
        """Keep a checkpoint. Returns `hard links` or `copy`, or None if it changed meanwhile and was not kept."""
        self.folder.mkdir(exist_ok=True)
        for left in self.folder.glob(f"{UNDER_WAY}*"):
            _remove(left)  # of a watch that was killed
        before = _listing(checkpoint.path)
        target, partly = self.folder / checkpoint.place, self.folder / f"{UNDER_WAY}{os.getpid()}"
        try:
            linked = _take(checkpoint.path, partly, copy)
            if _listing(checkpoint.path) != before:
                return None
        except FileNotFoundError:
            return None
        else:
            self._note(self._entries() | {(checkpoint.place.as_posix(), self.run)})
            target.parent.mkdir(parents=True, exist_ok=True)
            _remove(target)
            partly.replace(target)
        finally:
            _remove(partly)
        return "hard links" if linked else "copy"

    def drop(self, checkpoint: Checkpoint) -> None:
        name = checkpoint.place.as_posix()
        entries = self._entries() - {(name, self.run), (name, "")}
        if not any(other == name for other, _ in entries):
            _remove(self.folder / checkpoint.place)
            for folder in (self.folder / checkpoint.place).parents:
                if folder == self.folder or any(folder.iterdir()):
                    break
                folder.rmdir()
        self._note(entries)

    def _entries(self) -> set[tuple[str, str]]:
        note = self.folder / NOTE
        lines = note.read_text(encoding="utf-8").splitlines() if note.is_file() else []
        return {(name, run) for name, _, run in (line.partition("\t") for line in lines)}

    def _note(self, entries: set[tuple[str, str]]) -> None:
        partly = self.folder / f"{UNDER_WAY}note"
        lines = ("\t".join(filter(None, entry)) + "\n" for entry in sorted(entries))
        partly.write_text("".join(lines), encoding="utf-8")
        partly.replace(self.folder / NOTE)


def checkpoints(root: Path, rest: Path) -> list[Checkpoint]:
    """Entries below `root` that match the pattern `rest`."""
    first = rest.parts[0]
    before, _, after = first.partition(STEP)
    named = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    found = []
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        match = named.fullmatch(path.name)
        if match and (whole := path.joinpath(*rest.parts[1:])).exists():
            found.append(Checkpoint(int(match[1]), whole, Path(path.name, *rest.parts[1:])))
    return found


def _score(view: View, step: int) -> float:
    """Score of the smoothed curve, interpolated between evaluations; what has not been evaluated yet has no
    score (-inf)."""
    if not view.steps_S[0] <= step <= view.steps_S[-1]:
        return -np.inf
    return float(np.interp(step, view.steps_S, view.smooth_S))


def _listing(path: Path) -> list[tuple[str, int, float]]:
    """Name, size and time of the last change of everything in a checkpoint, itself included."""
    paths = [path, *sorted(path.rglob("*"))] if path.is_dir() else [path]
    stats = [(p, p.lstat()) for p in paths]
    return [(str(p), 0 if p.is_dir() else at.st_size, at.st_mtime) for p, at in stats]


def _take(source: Path, target: Path, copy: bool) -> bool:
    """Links everything, or copies it where that is asked for or links are impossible; were they all links?

    Raises FileNotFoundError where something vanishes meanwhile, and any other OSError for what cannot be written.
    """
    linked, failed = True, None

    def one(src: str, dst: str) -> str:
        nonlocal failed
        try:
            return link_or_copy(src, dst)
        except OSError as error:
            failed = failed or error
            raise

    def link_or_copy(src: str, dst: str) -> str:
        nonlocal linked
        if not copy and linked:
            try:
                os.link(src, dst, follow_symlinks=False)
                return dst
            except FileNotFoundError:
                raise
            except OSError:  # another file system, or one without links
                linked = False
        linked = False
        return str(shutil.copy2(src, dst, follow_symlinks=False))

    if source.is_dir():
        try:
            shutil.copytree(source, target, symlinks=True, copy_function=one)
        except shutil.Error as error:  # it collects what went wrong
            raise failed or FileNotFoundError(str(error)) from error
    else:
        one(str(source), str(target))
    return linked


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
