"""Rows of a file, whatever its format, and typed access to their fields; what is wrong is said with file, row and
field."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from crestfall.core.errors import InputError, MissingExtraError
from crestfall.store.arrays import elements
from crestfall.store.jsonl import loads, objects
from crestfall.store.opened import PARQUET, opened


@dataclass(frozen=True)
class Row:
    """One line of a file: its fields, and where it stands."""

    data: Mapping[str, Any]
    path: Path
    line: int

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}"

    def has(self, *names: str) -> bool:
        return all(name in self.data for name in names)

    def error(self, name: str, wanted: str) -> InputError:
        given = repr(self.data[name])[:60] if name in self.data else "nothing"
        return InputError(f"{self.where}: field {name!r} is {given}, expected {wanted}")

    def text(self, name: str, default: str | None = None) -> str:
        """A string field. Raises InputError."""
        value = self.data.get(name, default)
        if not isinstance(value, str):
            raise self.error(name, "a string")
        return value

    def items(self, name: str) -> list[Any]:
        """A list field. Raises InputError."""
        value = self.data.get(name)
        if not isinstance(value, list):
            raise self.error(name, "a list")
        return value

    def strings(self, name: str) -> list[str]:
        """A list of strings. Raises InputError."""
        values = self.items(name)
        if not all(isinstance(value, str) for value in values):
            raise self.error(name, "a list of strings")
        return values

    def embedded(self, name: str) -> Any:
        """A field that holds JSON as a string, as several data sets do; JSON that stands there as it is will do too."""
        value = self.data.get(name)
        if not isinstance(value, str):
            return value
        try:
            return loads(value)
        except ValueError:
            raise self.error(name, "JSON in a string") from None

    def task_id(self, *names: str) -> str:
        """The first of these fields, a string or an integer, as a string. Raises InputError."""
        for name in names:
            value = self.data.get(name)
            if isinstance(value, float) and value.is_integer():  # pandas makes floats of a column with a gap
                value = int(value)
            if isinstance(value, (str, int)) and not isinstance(value, bool):
                return str(value)
        raise self.error(names[0], "a string or an integer")


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file: JSON lines, a JSON array, or parquet; plain, or packed with gzip, bzip2, xz or zstandard; `-`
    is standard input. They are read one by one.

    Raises:
        InputError: no such file, not UTF-8, broken packing, a row that is not an object with fields.
        MissingExtraError: a library for its format is not installed.
    """
    with opened(path) as file:
        head = file.peek(1 << 12)
        if head.startswith(PARQUET):
            yield from _parquet(path)
        elif head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
            yield from _array(file, path)
        elif head.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0].strip() == b"{":
            yield from _object(file, path)
        else:
            lines = objects(file, path)
            first = list(islice(lines, 2))
            if len(first) == 1:
                yield from _whole(first[0][1], path)
            else:
                yield from (Row(data, path, number) for number, data in chain(first, lines))


def _array(file: io.BufferedReader, path: Path) -> Iterator[Row]:
    """`line` is the number of the element, from 1."""
    number = 0
    try:
        for number, data in enumerate(elements(file), 1):
            if data and isinstance(data, list) and all(isinstance(text, str) for text in data):
                data = {"task_id": number - 1, "samples": data}  # BigCode's generations: a list for each problem
            if not isinstance(data, dict):
                kind = type(data).__name__
                raise InputError(
                    f"{path}:{number}: a list, expected a JSON object or a list of such: a {kind} is in it"
                )
            yield Row(data, path, number)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}:{number + 1}: {error}") from None


def _object(file: io.BufferedReader, path: Path) -> Iterator[Row]:
    """One JSON object over several lines."""
    try:
        yield from _whole(loads(file.read().decode("utf-8-sig")), path)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}:1: not JSON: {error}") from None


def _whole(data: dict[str, Any], path: Path) -> Iterator[Row]:
    """The one object of a file: the rows by their task, which have a field in common, or one row."""
    rows = [value for value in data.values() if isinstance(value, dict)]
    if rows and len(rows) == len(data) and set.intersection(*map(set, rows)):
        for number, (name, value) in enumerate(data.items(), 1):
            yield Row({"task_id": name, **value}, path, number)
    else:
        yield Row(data, path, 1)


def _parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "formats") from None
    try:
        batches = parquet.ParquetFile(path).iter_batches(batch_size=16)
        for number, data in enumerate((data for batch in batches for data in batch.to_pylist()), 1):
            yield Row(data, path, number)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path}: not parquet: {' '.join(str(error).split())[:200]}") from None
