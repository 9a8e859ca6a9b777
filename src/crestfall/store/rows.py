"""JSON lines, plain or gzipped, and typed access to their fields; what is wrong is said with file, line and field."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crestfall.core.errors import InputError
from crestfall.store.jsonl import objects


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
            return json.loads(value)
        except ValueError:
            raise self.error(name, "JSON in a string") from None

    def task_id(self, *names: str) -> str:
        """The first of these fields, a string or an integer, as a string. Raises InputError."""
        for name in names:
            value = self.data.get(name)
            if isinstance(value, (str, int)) and not isinstance(value, bool):
                return str(value)
        raise self.error(names[0], "a string or an integer")


def read_rows(path: Path) -> Iterator[Row]:
    """The lines of a `.jsonl` or `.jsonl.gz` file that hold anything.

    Raises:
        InputError: no such file, not UTF-8, broken gzip, a line that is not a JSON object.
    """
    try:
        with gzip.open(path, "rb") if _is_gzip(path) else open(path, "rb") as file:
            for number, data in objects(file, path):
                yield Row(data, path, number)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: broken gzip: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _is_gzip(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"
