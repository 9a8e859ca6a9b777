"""Distinct programs on their way through the pool, and the calls that wait for them."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any

from crestfall.core.types import CaseGrade, Grade, Verdict
from crestfall.grading.plans import Plan

CACHE_SIZE = 100_000


def grade_of(plan: Plan, verdict: str, detail: str, cpu: float, more: Mapping[str, Any]) -> Grade:
    """A worker's answer as a grade. `more`: what it tells beyond the verdict."""
    failed = tuple(CaseGrade(name, Verdict(kind), text) for name, kind, text in more.get("failed", ()))
    total = more.get("total", 0)
    return Grade(
        Verdict(verdict),
        detail,
        cpu,
        plan.isolation,
        tests=failed,
        passed_share=(more.get("run", 0) - len(failed)) / total if total else None,
        stdout=more.get("stdout", ""),
        stderr=more.get("stderr", ""),
    )


@dataclass(eq=False)
class Job:
    """One distinct (problem, program) pair to be run. `batches` wait for it."""

    key: bytes
    plan: Plan
    source: str
    batches: list[Batch] = field(default_factory=list)
    faults: int = 0
    """Runs that ended in a fault of the grader."""
    deaths: int = 0
    """Workers that died while they ran it and nothing else."""
    again: bool = False
    """Whether the job is run a second time because its program slept until the wall limit."""


@dataclass(eq=False)
class Batch:
    """One call: the grades it knows, and those it waits for. `done` ends with the last of them, or with an error.

    Args:
        advance: called for each program that was run.
        each: called with each grade as it comes, by its key.
        retries: how many of its programs may be run again because they slept.
    """

    advance: Callable[[], None] = lambda: None
    each: Callable[[bytes, Grade], None] = lambda key, grade: None
    grades: dict[bytes, Grade] = field(default_factory=dict)
    waits: set[bytes] = field(default_factory=set)
    done: Future[None] = field(default_factory=Future)
    retries: int = 0

    def settle(self, key: bytes, grade: Grade) -> None:
        self.grades[key] = grade
        self.waits.discard(key)
        self.advance()
        self.each(key, grade)
        if not self.waits:
            self.end()

    def end(self, error: BaseException | None = None) -> None:
        with contextlib.suppress(InvalidStateError):  # cancelled
            if error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(error)


class Cache:
    """The last grades that another run would not change."""

    def __init__(self) -> None:
        self._grades: OrderedDict[bytes, Grade] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Grade | None:
        with self._lock:
            grade = self._grades.get(key)
            if grade is not None:
                self._grades.move_to_end(key)
            return grade

    def put(self, key: bytes, grade: Grade) -> None:
        with self._lock:
            self._grades[key] = grade
            if len(self._grades) > CACHE_SIZE:
                self._grades.popitem(last=False)


@dataclass
class Statistics:
    """Counts since the grader was made."""

    graded: int = 0
    run: int = 0
    retried: int = 0
    infra: int = 0

    @property
    def retry_share(self) -> float:
        return self.retried / self.run if self.run else 0.0
