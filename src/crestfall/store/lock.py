"""One process per run directory."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from crestfall.core.errors import RunDirectoryError
from crestfall.store.files import writing
from crestfall.store.layout import LOCK_FILE


class Lock:
    """A lock on a directory that ends with the process that holds it, however it ends.

    A POSIX record lock (`lockf`), not `flock`: forked grader children do not inherit it, so none that outlives a killed
    trainer by a moment keeps the directory closed.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK_FILE
        self._file: IO[str] | None = None
        self._made: list[Path] = []
        self.is_new = False
        """Whether `acquire` created the lock file, so that no process has worked here before."""

    def acquire(self, patience: float = 2.0) -> None:
        """Make the directory where there is none; wait up to `patience` seconds. Raises RunDirectoryError if another
        process still holds it then, or the directory cannot be written."""
        deadline = time.monotonic() + patience
        while self._file is None:
            file = self._open()
            if _try(file) and _is_at(file, self._path):
                self._file = file
            else:
                holder = _holder(file)
                file.close()
                if time.monotonic() >= deadline:
                    raise RunDirectoryError(
                        f"{self._path.parent}: in use by another crestfall (process {holder}); wait for it, stop it, "
                        f"or choose another directory with --out"
                    )
                time.sleep(0.05)
        try:
            with writing(self._path):
                self._file.truncate(0)
                os.write(self._file.fileno(), f"{os.getpid()}\n".encode())
        except BaseException:
            self.__exit__()
            raise

    def _open(self) -> IO[str]:
        directory = self._path.parent
        with writing(directory):
            missing = [path for path in (directory, *directory.parents) if not path.exists()]
            directory.mkdir(parents=True, exist_ok=True)
            self._made += [path for path in missing if path not in self._made]
        with writing(self._path):
            self.is_new = self.is_new or not self._path.exists()
            return self._path.open("a+", encoding="utf-8")

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def withdraw(self) -> None:
        """Release it, and take away the lock file and the directories that `acquire` made, where nothing else has come
        to stand in them: as if nobody had been here."""
        if self._file is None:
            return
        with suppress(OSError):
            self._path.unlink()
            for directory in self._made:
                directory.rmdir()
        self.release()

    def holds(self) -> bool:
        """Whether the lock is held, and its directory is still where it was."""
        return self._file is not None and _is_at(self._file, self._path)

    def check(self) -> None:
        """Raises RunDirectoryError if the directory has been removed or moved away under this process, which would
        write the rest of its work into a new one."""
        if not self.holds():
            raise RunDirectoryError(
                f"{self._path.parent}: the directory, or its {LOCK_FILE}, was removed or moved while crestfall was at "
                f"work in it; nothing more is written there"
            )

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
        alone = False
        with suppress(OSError):
            alone = os.listdir(self._path.parent) == [self._path.name]
        if self.is_new and alone:
            self.withdraw()
        else:
            self.release()


def _try(file: IO[str]) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether the open file is still at `path`: the process that held the lock before may have removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _holder(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip() or "unknown"
