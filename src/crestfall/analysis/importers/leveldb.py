"""LevelDB's log format, in which W&B and SwanLab keep their runs: blocks of 32 KiB, records in up to four pieces."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from crestfall.analysis.importers.text import content
from crestfall.core.errors import InputError

_HEADER = 7
_BLOCK = 32768
_FULL, _FIRST, _LAST = 1, 2, 4


def records(path: Path, magic: bytes) -> Iterator[bytes]:
    """Whole records of a file whose header begins with `magic`; a torn last one is passed over.

    Raises:
        InputError: the file cannot be read, or begins with something else.
    """
    data = content(path)
    if not data.startswith(magic):
        raise InputError(f"{path}: expected a file that begins with {magic.decode()!r}")
    at, pieces = _HEADER, b""
    while at + 7 <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        if at + 7 + length > len(data):
            return
        pieces = (b"" if kind in (_FULL, _FIRST) else pieces) + data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (_FULL, _LAST):
            yield pieces
        elif kind == 0:
            return
