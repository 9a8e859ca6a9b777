"""A JSON array, element by element: the file is never held as a whole."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

from crestfall.store.jsonl import big_int

CHUNK = 1 << 20
_SPACE = " \t\r\n"


def elements(file: io.BufferedReader) -> Iterator[Any]:
    """The elements of the array that a file holds.

    Raises ValueError: not JSON, or something behind the array.
    """
    text = io.TextIOWrapper(file, "utf-8-sig")
    decoder = json.JSONDecoder(parse_int=_int)
    buffer, at, chunk, ended = "", 0, CHUNK, False

    def more() -> bool:
        """Read on. Each time twice as much, so that an element of any size is decoded a few times only."""
        nonlocal buffer, at, chunk, ended
        new = text.read(chunk)
        buffer, at, chunk, ended = buffer[at:] + new, 0, 2 * chunk, not new
        return bool(new)

    def next_mark() -> str:
        nonlocal at
        while True:
            while at < len(buffer) and buffer[at] in _SPACE:
                at += 1
            if at < len(buffer) or not more():
                return buffer[at : at + 1]

    if next_mark() != "[":
        raise ValueError("not JSON: no array")
    at += 1
    mark = next_mark()
    while mark != "]":
        while True:
            try:
                element, end = decoder.raw_decode(buffer, at)
                if end < len(buffer) or not more():  # a number may go on in the next chunk
                    break
            except RecursionError as error:
                raise ValueError(f"not JSON: {error}") from None
            except ValueError:
                if not more():
                    raise
        at, chunk = end, CHUNK
        yield element
        mark = next_mark()
        if mark == ",":
            at += 1
            next_mark()
        elif mark != "]":
            raise ValueError("not JSON: the array is cut off" if not mark else f"not JSON: {mark!r} behind an element")
    at += 1
    if next_mark():
        raise ValueError("not JSON: something stands behind the array")
    text.detach()


def _int(digits: str) -> int:
    return int(digits) if len(digits) < 4000 else big_int(digits)
