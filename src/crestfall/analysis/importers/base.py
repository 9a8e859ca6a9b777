"""Protocol of an importer: recognise a file's format, group the files of one run, and read them into histories."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from crestfall.analysis.trajectory import Broken, FloatArray, IntArray

HEAD_BYTES = 1 << 16
"""Number of bytes at the beginning of a file by which an importer recognises it."""


@dataclass(frozen=True, eq=False)
class Column:
    """One key as it stands in the file, in the order of the file. `n_R`: how many graded samples are behind a value, 0
    where the format does not tell; None where it never does."""

    steps_R: IntArray
    values_R: FloatArray
    n_R: IntArray | None = None

    def __len__(self) -> int:
        return len(self.steps_R)


@dataclass
class History:
    """All numbers of one run as they stand in the file. `not_finite`: how many values per key were left out because
    they were NaN or infinite."""

    name: str
    source: Path
    format: str
    columns: dict[str, Column] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    not_finite: dict[str, int] = field(default_factory=dict)
    broken: dict[str, Broken] = field(default_factory=dict)
    """Per key whose last values are NaN or infinite, more of them than ever stood between two that are finite."""
    named: dict[str, str | None] = field(default_factory=dict)
    """Per key of the file that a run is named in, its name here; None: it is another run's."""

    def add(self, key: str, steps: Sequence[int] | IntArray, values: Sequence[float] | FloatArray) -> None:
        """Take in a column; values that are not finite are counted and left out."""
        steps_R, values_R = np.asarray(steps, dtype=np.int64), np.asarray(values, dtype=np.float64)
        self.put(key, Column(steps_R, values_R))

    def put(self, key: str, column: Column) -> None:
        finite_R = np.isfinite(column.values_R)
        if not finite_R.all():
            self.not_finite[key] = int((~finite_R).sum())
            at_R = np.flatnonzero(finite_R)
            missing_R = np.diff(at_R, append=len(finite_R)) - 1  # after each finite value
            if len(at_R) and missing_R[-1] > missing_R[:-1].max(initial=0):
                self.broken[key] = Broken(int(column.steps_R[at_R[-1] + 1]), int(missing_R[-1]))
            n_R = None if column.n_R is None else column.n_R[finite_R]
            column = Column(column.steps_R[finite_R], column.values_R[finite_R], n_R)
        if len(column):
            self.columns[key] = column

    def renamed(self, names: Mapping[str, str]) -> None:
        self.columns = {names.get(key, key): column for key, column in self.columns.items()}


class Importer(Protocol):
    """A frozen dataclass with these methods, registered as kind `importer`."""

    name: ClassVar[str]
    order: ClassVar[int]
    """Priority, lowest first: formats of one tool (0 to 4), then syntaxes (5 to 8), then guesses (9)."""

    def claims(self, path: Path, head: bytes) -> bool:
        """Is this file, by its name and its first bytes (decompressed), of this format? The first importer that says
        so reads it; those for a format of one tool are asked before those for a syntax."""
        ...

    def group(self, path: Path) -> Hashable:
        """Files of one group are read together."""
        ...

    def read(self, paths: Sequence[Path]) -> list[History]:
        """The runs in the files of one group. Raises InputError that names file and line for what cannot be read."""
        ...


class OneFile(ABC):
    """An importer that reads every file by itself."""

    def group(self, path: Path) -> Hashable:
        return path

    def read(self, paths: Sequence[Path]) -> list[History]:
        (path,) = paths
        return self.read_one(path)

    @abstractmethod
    def read_one(self, path: Path) -> list[History]: ...
