"""Standard streams as `python main.py < in` has them, and the files that programs open by a name that the sandbox does
not have: `/dev/stdin`, `/dev/null`, their own source."""

from __future__ import annotations

import builtins
import io
import os
import sys
from typing import Any

NULL = 4  # a program's descriptor of /dev/null: behind its channel, open for both directions in every layer mode

# Names of descriptors and of texts. What stands here is opened without asking the file system.
names: dict[str, int | bytes] = {
    **{f"/dev/{name}": fd for fd, name in enumerate(("stdin", "stdout", "stderr"))},
    **{f"{folder}/{fd}": fd for folder in ("/dev/fd", "/proc/self/fd") for fd in range(3)},
    os.devnull: NULL,
}

_open, _os_open = io.open, os.open


def open_standard() -> None:
    """Make the streams over descriptors 0 to 2, whatever those are when they are used, and the `open` that knows
    `names`."""
    sys.stdin = sys.__stdin__ = _stream(0, "<stdin>", "r")  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _stream(1, "<stdout>", "w")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2, "<stderr>", "w")  # type: ignore[misc]
    builtins.open = io.open = open_named
    os.open = open_descriptor


def _stream(fd: int, name: str, mode: str) -> io.TextIOWrapper:
    """A standard stream, made as CPython's `create_stdio` makes it."""
    raw = io.FileIO(fd, mode, closefd=False)
    raw.name = name
    buffer: Any = io.BufferedReader(raw) if fd == 0 else io.BufferedWriter(raw)
    errors = "backslashreplace" if fd == 2 else "surrogateescape"
    stream = io.TextIOWrapper(buffer, encoding="utf-8", errors=errors, newline="\n", line_buffering=fd == 2)
    stream.mode = mode  # type: ignore[misc]
    return stream


def open_named(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
    """`open`, with `names`."""
    held = _held(file)
    if held is None:
        return _open(file, mode, *args, **kwargs)
    if isinstance(held, bytes):
        return io.BytesIO(held) if "b" in mode else io.StringIO(held.decode("utf-8", "replace"))
    return _open(_fresh(held), mode, *args, **kwargs)


def open_descriptor(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    """`os.open`, with the descriptors of `names`."""
    held = _held(path)
    return _fresh(held) if isinstance(held, int) else _os_open(path, flags, mode, dir_fd=dir_fd)


def _held(file: Any) -> int | bytes | None:
    try:
        return None if isinstance(file, int) else names.get(os.fspath(file))
    except TypeError:
        return None


def _fresh(fd: int) -> int:
    """Opening standard input by name starts at its beginning, as with any file."""
    copy = os.dup(fd)
    if fd == 0:
        os.lseek(copy, 0, os.SEEK_SET)
    return copy
