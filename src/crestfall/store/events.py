"""events.jsonl: append-only, one JSON object a line, line number = `seq`.

The log follows the chain's state file, which is the truth: every commit stores its own lines in the state first and
appends them here second. Opening the log after a crash adds what the state knows and the log lacks, and cuts nothing
but a torn last line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from crestfall.core.errors import RunDirectoryError
from crestfall.store.files import content, writing
from crestfall.store.jsonl import lines_of, object_in, objects
from crestfall.store.layout import STATE_FILE


class EventLog:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._size: int | None = None

    def append(self, lines: Sequence[str]) -> None:
        """Add lines; they are on the disk when this returns. Raises RunDirectoryError if something else has changed the
        log since this object last wrote to it."""
        with writing(self._path), self._path.open("ab") as file:
            if self._size not in (None, file.tell()):
                raise RunDirectoryError(f"{self._path}: something else has changed the file while the run was at work")
            file.write("".join(f"{line}\n" for line in lines).encode())
            file.flush()
            os.fsync(file.fileno())
            self._size = file.tell()

    def reconcile(self, seq: int, pending: Sequence[str]) -> None:
        """Make the log end with `pending`, the lines of the last commit, after which `seq` lines are written in all.

        A torn last line is cut, and what the last commit did not get to write is added. Nothing else is touched.

        Raises:
            RunDirectoryError: lines of earlier commits are missing, or there are lines that the commit does not know.
        """
        raw = content(self._path) or b""
        whole = raw[: raw.rfind(b"\n") + 1]
        lines, before = whole.splitlines(keepends=True), seq - len(pending)
        if len(lines) < before:
            raise RunDirectoryError(
                f"{self._path}: has {len(lines)} whole lines where the checkpoint was saved after {before}: something "
                f"else has cut it; restore the file, or start again with --out elsewhere"
            )
        wanted = [f"{line}\n".encode() for line in pending]
        written = lines[before:]
        if written != wanted[: len(written)]:
            raise RunDirectoryError(
                f"{self._path}: line {before + 1} and what follows are not what {STATE_FILE} was saved with: one of "
                f"the two is of another time; restore it, or start again with --out elsewhere"
            )
        if len(whole) < len(raw):
            with writing(self._path), self._path.open("ab") as file:
                file.truncate(len(whole))
        if len(written) < len(wanted):
            self.append(pending[len(written) :])

    def last(self) -> dict[str, Any] | None:
        """The last whole line. None where there is none, or it is no event."""
        lines = (content(self._path) or b"").split(b"\n")[:-1]
        return object_in(lines[-1]) if lines else None

    def empty(self) -> bool:
        """Whether nothing at all has been written."""
        return not content(self._path)


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a log in order; a torn last line, as a writer at work or a crash leaves it, is left out.

    Raises:
        InputError: any other line is no JSON object; names file and line.
        RunDirectoryError: the log cannot be read.
    """
    for _, event in objects(lines_of(content(path) or b""), path, growing=True):
        yield event


class Tail:
    """The whole lines that have been added to a log since the last look. For watching: a broken line is passed over,
    and `damage` says that there was one."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0
        self.damage: str | None = None

    def new(self) -> list[dict[str, Any]]:
        try:
            raw = content(self._path, self._offset) or b""
        except RunDirectoryError as error:
            self.damage = str(error)
            return []
        whole = raw[: raw.rfind(b"\n") + 1]
        self._offset += len(whole)
        lines = list(lines_of(whole))
        events = [event for line in lines if (event := object_in(line)) is not None]
        if len(events) < len(lines):
            self.damage = f"{self._path}: a line that is no JSON object"
        return events


class Sink(Protocol):
    """Something that is told every event of a run."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Take note of an event (docs/run_directory.md) that is safely in the run directory."""
        ...

    def close(self) -> None: ...
