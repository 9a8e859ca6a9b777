"""Reading text logs: lines, whatever ended them, without colours; and the first lines of a file as JSON objects."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crestfall.store.jsonl import object_in

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LINE_END = re.compile(r"[\r\n]+")


def lines_of(text: str) -> list[str]:
    """Progress bars end their lines with carriage returns."""
    return _LINE_END.split(_COLOUR.sub("", text))


def read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def first_object(head: bytes) -> dict[str, Any] | None:
    """The object on the first line of a JSONL file; None where the first line is something else."""
    return object_in(head.lstrip().split(b"\n", 1)[0])


def flat(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested objects as one, keys joined by `/`."""
    for key, value in row.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value
