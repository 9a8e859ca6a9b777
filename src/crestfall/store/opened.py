"""Files and pipes as streams of plain bytes, whatever they are packed with, which their first bytes tell."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

from crestfall.core.errors import InputError, MissingExtraError
from crestfall.store.files import endless

GZIP, BZIP2, XZ, ZSTD, PARQUET = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"PAR1"


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """A file, a pipe, or standard input (`-`), unpacked. It is opened once, so that a pipe loses nothing.

    Raises:
        InputError: it cannot be read, or is broken; also for what goes wrong while it is read.
        MissingExtraError: it is packed with zstandard, which is not installed.
    """
    if endless(path):
        raise InputError(f"{path}: a device that never ends, expected a file")
    try:
        with ExitStack() as stack:
            file = sys.stdin.buffer if str(path) == "-" else stack.enter_context(open(path, "rb"))
            assert isinstance(file, io.BufferedReader)
            unpacked = _unpacked(file, file.peek(8)[:8])
            yield file if unpacked is None else stack.enter_context(unpacked)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: broken or cut off: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _unpacked(file: io.BufferedReader, magic: bytes) -> io.BufferedReader | None:
    if magic.startswith(GZIP):
        packed: io.IOBase = gzip.GzipFile(fileobj=file)
    elif magic.startswith(BZIP2):
        packed = bz2.BZ2File(file)
    elif magic.startswith(XZ):
        packed = lzma.LZMAFile(file)  # noqa: SIM115 closed with what is around it
    elif magic.startswith(ZSTD):
        packed = _Zstandard(file)
    else:
        return None
    return io.BufferedReader(cast(io.RawIOBase, packed), 1 << 16)


class _Zstandard(io.RawIOBase):
    """The content of a zstandard file. The library's own reader takes a file that is cut off for a whole one.

    Raises MissingExtraError.
    """

    def __init__(self, file: io.BufferedReader) -> None:
        try:
            import zstandard
        except ImportError:
            raise MissingExtraError("zstandard", "formats") from None
        self._file, self._broken = file, zstandard.ZstdError
        self._library = zstandard.ZstdDecompressor(max_window_size=1 << 31)
        self._frame: Any = None
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            while not self._ready and self._more():
                pass
        except self._broken as error:
            raise EOFError(str(error)) from None
        part, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def _more(self) -> bool:
        packed = self._file.read(1 << 15)
        if not packed and self._frame is not None:
            raise EOFError("it ends within a frame")
        while packed:
            self._frame = self._frame or self._library.decompressobj()
            self._ready += self._frame.decompress(packed)
            packed, self._frame = (self._frame.unused_data, None) if self._frame.eof else (b"", self._frame)
        return bool(self._ready) or bool(self._file.peek(1))
