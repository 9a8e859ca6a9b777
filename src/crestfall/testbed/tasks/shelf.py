"""Large tests are kept on the disk and read whenever they are needed: LiveCodeBench's are gigabytes."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, overload

from crestfall.core.types import CodeTests, Problem
from crestfall.grading.stream import size_of

LARGE = 64 << 10
"""Bytes of tests, about; a problem with fewer is kept as it is."""


class Shelf:
    """A file without a name, which goes with the process. What is written there is our own."""

    def __init__(self) -> None:
        self._file: Any = None

    def put(self, problem: Problem) -> Problem:
        """The problem, its cases on the shelf if they are large."""
        tests = problem.tests
        if isinstance(tests, CodeTests) or size_of(problem) < LARGE:
            return problem
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="crestfall-tests-")  # noqa: SIM115
        data = pickle.dumps(tests.cases)
        place = self._file.tell()
        self._file.write(data)
        self._file.flush()
        cases: Any = Shelved(self._file, place, len(data), len(tests.cases))
        return replace(problem, tests=replace(tests, cases=cases))


class Shelved(Sequence[Any]):
    """Cases that lie on a shelf. Each look at them reads them anew; forks may share it."""

    def __init__(self, file: Any, place: int, size: int, count: int) -> None:
        self._file, self._place, self._size, self._count = file, place, size, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._cases()[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cases())

    def __reduce__(self) -> tuple[type[tuple[Any, ...]], tuple[tuple[Any, ...]]]:
        """Pickle the cases as a plain tuple for another process."""
        return tuple, (self._cases(),)

    def _cases(self) -> tuple[Any, ...]:
        parts, left, place = [], self._size, self._place
        while left:
            part = os.pread(self._file.fileno(), left, place)
            if not part:
                raise OSError("a file of tests was cut short")
            parts.append(part)
            left, place = left - len(part), place + len(part)
        cases: tuple[Any, ...] = pickle.loads(b"".join(parts))
        return cases
