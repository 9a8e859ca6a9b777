"""Files as text, whatever they are packed or encoded in, and what importers look for in it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from crestfall.analysis.importers.languages import decoded, in_english
from crestfall.core.signals import word_set
from crestfall.store.jsonl import object_in
from crestfall.store.opened import opened

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
"""Suffixes of compressed files."""
_UTF32 = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
SETTLED = 60.0
"""Seconds after which a file that nobody has written to is taken to be whole."""
_growing: ContextVar[bool] = ContextVar("growing", default=False)


@contextmanager
def growing() -> Iterator[None]:
    """Within this, a last line without its end is left out of a text that was written to in the last minute: half of
    `0.8134` reads as `0.8`."""
    token = _growing.set(True)
    try:
        yield
    finally:
        _growing.reset(token)


def content(path: Path) -> bytes:
    """A file's bytes, decompressed (gzip, bzip2, xz, zstd), in UTF-8 and with English words where they are text.

    Raises:
        InputError: the file cannot be read, or its compression is damaged.
    """
    with opened(path) as file:
        recent = _growing.get() and time.time() - path.stat().st_mtime < SETTLED
        data = _recoded(file.read().lstrip(b"\x00"))
    return _whole_lines(data) if recent and suffix_of(path) not in _DOCUMENTS else data


_DOCUMENTS = (".json", ".ipynb", ".html", ".htm")
"""Written as a whole: their last line may well lack its end."""


def _whole_lines(data: bytes) -> bytes:
    return data if b"\x00" in data[:1024] else data[: max(data.rfind(b"\n"), data.rfind(b"\r")) + 1]


def head_of(path: Path, size: int) -> bytes:
    """The first bytes of what `content` would give. Raises InputError."""
    with opened(path) as file:
        head = file.read(size)
        while head and not (head := head.lstrip(b"\x00")):  # what a truncated log leaves before its next line
            head = file.read(size)
        return _recoded(head)


_BAR = re.compile(rb"\xe2\x96[\x88-\x8f](?:\xe2\x96[\x88-\x8f])*")
"""What tqdm and rich draw progress in, in UTF-8. Text without it is mostly ASCII, which Python handles faster."""


def _recoded(data: bytes) -> bytes:
    if data.startswith(_UTF32):
        return _worded(data[: len(data) // 4 * 4].decode("utf-32", errors="replace").encode())
    if data.startswith(_UTF16):
        return _worded(data[: len(data) // 2 * 2].decode("utf-16", errors="replace").encode())
    wide = len(data) > 3 and data[1::2].count(0) > 0.4 * len(data) and data[::2].count(0) < 0.1 * len(data)
    if wide:  # PowerShell's redirection without a mark
        data = data[: len(data) // 2 * 2].decode("utf-16-le", errors="replace").encode()
    return _worded(data.removeprefix(b"\xef\xbb\xbf"))


def _worded(data: bytes) -> bytes:
    if b"\x00" in data[:1024] or not data:
        return data
    data = data.replace(b"\x00", b"")  # a log that was truncated, or cut off by a crash
    plain = _BAR.sub(b"#", data)
    try:
        text = plain.decode()
    except UnicodeDecodeError as error:
        cut = error.start >= len(plain) - 4  # the head of a file may end within a character
        text = plain[: error.start].decode() if cut else decoded(data) or ""
        if not text:
            return data
    english = in_english(text.replace("−", "-"))
    return plain if english is text else english.encode()


def suffix_of(path: Path) -> str:
    """The suffix in lower case, that of a compression left out."""
    suffixes = [s.lower() for s in path.suffixes if s.lower() not in COMPRESSED]
    return suffixes[-1] if suffixes else ""


def unpacked_name(path: Path) -> str:
    """The file's name without the suffix of a compression, and of a rotation (`train.log.2.gz`)."""
    return _ROTATED.sub(r"\1", path.stem if path.suffix.lower() in COMPRESSED else path.name)


_ROTATED = re.compile(r"(\.(?:log|out|err|txt|jsonl|ndjson|csv|tsv))\.\d{1,3}$")


def stem_of(path: Path) -> str:
    """The file's name without the suffix and that of a compression."""
    return Path(unpacked_name(path)).stem


def run_name(path: Path) -> str:
    """Name of a file's run: its directory if every run's file has the same name."""
    stem = stem_of(path)
    return path.parent.name if stem in _NAMELESS and path.parent.name else stem


_NAMELESS = word_set(
    "metrics training_metrics progress trainer_log trainer_state logging result history evaluations 0000"
)


def read_text(path: Path) -> str:
    return content(path).decode("utf-8", errors="replace")


def lines_of(text: str) -> list[str]:
    """Lines, whatever ended them (progress bars end theirs with carriage returns), without colours."""
    text = _COLOUR.sub("", text) if "\x1b" in text else text
    return (text.replace("\r", "\n") if "\r" in text else text).split("\n")


def is_text(head: bytes) -> bool:
    return b"\x00" not in head


def first_object(head: bytes) -> dict[str, Any] | None:
    """The object on the first line of a JSONL file; None where the first line is something else."""
    return object_in(head.lstrip().split(b"\n", 1)[0])


def flat(row: Mapping[str, Any], prefix: str = "", between: str = "/") -> Iterator[tuple[str, Any]]:
    """Nested objects as one, their keys joined."""
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}{between}", between)
        else:
            yield prefix + key, value
