"""Grading whole files: problems come one by one, are graded while the next ones are read, and are let go.

So a benchmark of gigabytes needs the memory of a few of its problems.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from crestfall.core.errors import RunDirectoryError
from crestfall.core.types import CallTests, CodeTests, Grade, Problem, StdioTests
from crestfall.grading.grader import CodeGrader
from crestfall.grading.kept import KeptGrades
from crestfall.grading.samples import Sample

T = TypeVar("T")
CHUNK = 32
"""Programs per worker that are handed to the grader at a time; two such lots are under way."""
CHUNK_BYTES = 64 << 20
"""Approximate bytes of tests in a lot; a larger problem is a lot by itself."""


@dataclass(frozen=True)
class Placed:
    """A sample and its place among the results."""

    index: int
    sample: Sample


def grade_stream(
    grader: CodeGrader,
    placed: Iterable[Sequence[Placed]],
    kept: KeptGrades,
    advance: Callable[[int], None],
    keep_tests: bool,
) -> list[tuple[Sample, Grade]]:
    """Samples with their grades, by place.

    Args:
        placed: the samples of one problem after the other.
        kept: grades that are known, and where new ones go.
        advance: called with the number of samples that are graded.
        keep_tests: keep the problems' tests with the results.

    Raises KeyboardInterrupt: `kept` has what was graded.
    """
    return asyncio.run(_graded(grader, placed, kept, advance, keep_tests))


async def _graded(
    grader: CodeGrader,
    placed: Iterable[Sequence[Placed]],
    kept: KeptGrades,
    advance: Callable[[int], None],
    keep_tests: bool,
) -> list[tuple[Sample, Grade]]:
    results: dict[int, tuple[Sample, Grade]] = {}
    running: deque[asyncio.Task[list[tuple[Placed, Grade]]]] = deque()

    async def settle() -> None:
        done = await running.popleft()
        for item, grade in done:
            results[item.index] = (item.sample if keep_tests else _light(item.sample), grade)
        advance(len(done))

    for lot in _lots(placed, CHUNK * grader.limits.workers):
        running.append(asyncio.create_task(_lot(grader, lot, kept)))
        await asyncio.sleep(0)  # it is handed over before the next problem is read
        if len(running) > 1:
            await settle()
        if not keep_tests:
            grader.forget_tests()
    while running:
        await settle()
    return [results[index] for index in sorted(results)]


async def _lot(grader: CodeGrader, lot: Sequence[Placed], kept: KeptGrades) -> list[tuple[Placed, Grade]]:
    pairs = [(item.sample.problem, item.sample.program) for item in lot]
    keys = [grader.key(*pair) for pair in pairs]
    new = {key: pair for key, pair in zip(keys, pairs, strict=True) if kept.get(key) is None}
    names = list(new)

    def each(place: int, grade: Grade) -> None:
        with suppress(RunDirectoryError):  # the disk is full, say: what is kept of the whole lot says so below
            kept.add({names[place]: grade})

    found = await grader.agrade_batch(new.values(), each)
    grades = dict(zip(names, found, strict=True))
    kept.add(grades)
    grades |= {key: grade for key in keys if (grade := kept.get(key)) is not None}
    return [(item, grades[key]) for item, key in zip(lot, keys, strict=True)]


def _lots(placed: Iterable[Sequence[Placed]], programs: int) -> Iterator[list[Placed]]:
    lot: list[Placed] = []
    size = 0
    for samples in placed:
        if not samples:
            continue
        new = size_of(samples[0].sample.problem)
        if lot and (size + new > CHUNK_BYTES or len(lot) >= programs):
            yield lot
            lot, size = [], 0
        lot += samples
        size += new
    if lot:
        yield lot


def size_of(problem: Problem) -> int:
    """About how many bytes a problem's tests take."""
    tests = problem.tests
    if isinstance(tests, StdioTests):
        return sum(len(case.stdin) + len(case.stdout) for case in tests.cases)
    if isinstance(tests, CallTests):
        return sum(_bytes(case.args) + _bytes(case.expected) for case in tests.cases)
    return len(tests.code)


def _bytes(value: Any) -> int:
    if isinstance(value, dict):
        return sum(_bytes(key) + _bytes(item) for key, item in value.items())
    return sum(map(_bytes, value)) if isinstance(value, (list, tuple)) else sys.getsizeof(value)


def _light(sample: Sample) -> Sample:
    """A sample without its problem's cases."""
    tests = sample.problem.tests
    if isinstance(tests, CodeTests):
        return sample
    return replace(sample, problem=replace(sample.problem, tests=replace(tests, cases=())))  # type: ignore[arg-type]
