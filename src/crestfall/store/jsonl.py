"""JSON lines, for everybody who reads any: blank lines hold nothing, and every other line is one object.

Files grow, and writers are killed: of a file that is read while it grows, a last line without its end is left out
unless it is whole. In a finished file the same line is an error, because leaving it out would lose what it held.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from crestfall.core.errors import InputError

_BOM = b"\xef\xbb\xbf"


def objects(
    lines: Iterable[bytes], where: str | Path, *, growing: bool = False
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of every line that holds anything; `lines` keep their ends, as a binary file gives them.

    Raises:
        InputError: a line is no JSON object; names `where`, the line and what was found.
    """
    for number, line in enumerate(lines, 1):
        if number == 1:
            line = line.removeprefix(_BOM)
        if not line.strip():
            continue
        try:
            yield number, _object(line)
        except ValueError as error:
            if growing and not line.endswith(b"\n"):
                return
            raise InputError(f"{where}:{number}: {error}") from None


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """`objects` of a file. Raises InputError also where it cannot be read."""
    try:
        with path.open("rb") as file:
            yield from objects(file, path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def object_in(line: bytes) -> dict[str, Any] | None:
    """The object on one line; None where there is none. For looking at what a file is, and for watching."""
    try:
        return _object(line.removeprefix(_BOM))
    except ValueError:
        return None


def is_torn(raw: bytes) -> bool:
    """Whether the last line is incomplete, as a killed writer leaves it: no newline, no whole object."""
    last = raw[raw.rfind(b"\n") + 1 :]
    return bool(last.strip()) and object_in(last) is None


def lines_of(raw: bytes) -> Iterable[bytes]:
    """The lines of a file's content, as `objects` takes them."""
    return io.BytesIO(raw)


def loads(text: str) -> Any:
    """`json.loads` for integers of any length: data sets hold some of more than Python's 4300 digits.

    Raises ValueError: not JSON.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return json.loads(text, parse_int=big_int)


def big_int(digits: str) -> int:
    """An integer of any length. `decimal` knows no limit, and needs none: its conversion is not quadratic."""
    return int(Decimal(digits))


def _object(line: bytes) -> dict[str, Any]:
    """Raises ValueError that says what is there instead."""
    try:
        data = loads(line.decode())
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(data, dict):
        raise ValueError(f"a {type(data).__name__}, expected a JSON object")
    return data
