"""Files that are either the old or the new version, whatever happens; and failures to write as one clear line."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crestfall.core.errors import RunDirectoryError

_ENDLESS = (5, 7, 8, 9)
"""Linux's zero, full, random and urandom, by their numbers among the memory devices."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError into a RunDirectoryError that names the place and the way out."""
    try:
        yield
    except RunDirectoryError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            way_out = "the disk is full; what stands there is intact: free some space and run the same command again"
        else:
            way_out = f"cannot be written: {error.strerror or error}"
        raise RunDirectoryError(f"{path}: {way_out}") from error


def write_atomic(path: Path, text: str) -> None:
    """Replace `path` by a file with this text (UTF-8) that is on the disk when this returns. A link stays one: the file
    that it leads to is replaced. A pipe or a device cannot be replaced: the text is written to it."""
    if not path.name or path.is_dir():
        raise RunDirectoryError(f"{path}: a directory, expected a file to write")
    if path.exists() and not path.is_file():
        with writing(path), path.open("w", encoding="utf-8") as file:
            file.write(text)
        return
    path = path.resolve() if path.is_symlink() else path
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def check_writable(directory: Path) -> None:
    """Raises RunDirectoryError where a directory cannot be made or written to, as far as can be told without trying."""
    there = next((path for path in (directory, *directory.parents) if path.exists()), None)
    if there is None or not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        reason = "not a directory" if there is not None and not there.is_dir() else "not writable"
        raise RunDirectoryError(f"{directory}: cannot be written: {there} is {reason}")


def content(path: Path, start: int = 0) -> bytes | None:
    """The bytes of a file in a run's or study's directory from `start` on, None where there is none.

    Raises:
        RunDirectoryError: it cannot be read, or something else stands in its place: a pipe or a device could be read
            for ever.
    """
    try:
        if not path.is_file() and path.exists():
            raise RunDirectoryError(f"{path}: cannot be read: not a file")
        with path.open("rb") as file:
            file.seek(start)
            return file.read()
    except FileNotFoundError:
        return None
    except RunDirectoryError:
        raise
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be read: {error.strerror or error}") from None


def endless(path: Path) -> bool:
    """Whether this is a device without an end (/dev/zero, /dev/random), which must not be read to its end."""
    try:
        found = path.stat()
    except OSError:
        return False
    return stat.S_ISCHR(found.st_mode) and os.major(found.st_rdev) == 1 and os.minor(found.st_rdev) in _ENDLESS


def sync(path: Path) -> None:
    """Make a file's content survive a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Make the names in a directory (a rename, a new file) survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(data: Any) -> str:
    """16 hex digits that identify plain data, whatever the order of its keys."""
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
