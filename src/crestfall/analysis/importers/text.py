"""Reading text logs: lines, whatever ended them, without colours; and the first lines of a file as JSON objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crestfall.core.errors import InputError

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LINE_END = re.compile(r"[\r\n]+")


def lines_of(text: str) -> list[str]:
    """Progress bars end their lines with carriage returns."""
    return _LINE_END.split(_COLOUR.sub("", text))


def read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def first_object(head: bytes) -> dict[str, Any] | None:
    """The object on the first line of a JSONL file; None where the first line is something else."""
    line = head.lstrip().split(b"\n", 1)[0]
    try:
        data = json.loads(line)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of every line. A torn last line is passed over.

    Raises:
        InputError: any other line that is not an object.
    """
    lines = path.read_bytes().split(b"\n")
    for i, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            if i == len(lines):
                return
            raise InputError(f"{path}, line {i}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {i}: expected an object, found {type(row).__name__}")
        yield i, row


def flat(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested objects as one, keys joined by `/`."""
    for key, value in row.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value
