"""One process per run directory."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import IO

from crestfall.core.errors import RunDirectoryError
from crestfall.store.files import writing


class Lock:
    """A lock on a directory that ends with the process that holds it, however it ends.

    A POSIX record lock (`lockf`), not `flock`: forked grader children do not inherit it, so none that outlives a killed
    trainer by a moment keeps the directory closed.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / ".lock"
        self._file: IO[str] | None = None

    def acquire(self, patience: float = 2.0) -> None:
        """Wait up to `patience` seconds. Raises RunDirectoryError if another process still holds it then."""
        with writing(self._path):
            file = self._path.open("a+", encoding="utf-8")
        deadline = time.monotonic() + patience
        while not _try(file):
            if time.monotonic() >= deadline:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                file.close()
                raise RunDirectoryError(
                    f"{self._path.parent}: in use by another crestfall (process {holder}); wait for it, stop it, or "
                    f"choose another directory with --out"
                )
            time.sleep(0.05)
        with writing(self._path):
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def held_by_another(self) -> bool:
        """Is another process at work in the directory? Never ask this of a lock that this process holds elsewhere."""
        try:
            with self._path.open("r+", encoding="utf-8") as file:
                return not _try(file)
        except OSError:
            return False

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.release()


def _try(file: IO[str]) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
