"""LiveCodeBench as a task source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from crestfall.core.registry import register
from crestfall.core.types import Problem
from crestfall.grading.problems.livecodebench import problem
from crestfall.store.rows import Row
from crestfall.testbed.tasks.apps import question
from crestfall.testbed.tasks.benchmark import Benchmark

CALL = "Write a program that defines this class and method; it is called, and nothing is read or printed."


@register("tasks", "livecodebench")
@dataclass(frozen=True)
class LiveCodeBench(Benchmark):
    """LiveCodeBench: dated contest problems, answered by a program or by a method of `class Solution`."""

    name: ClassVar[str]

    difficulties: tuple[str, ...] = ("easy", "medium", "hard")
    """The difficulties that are kept; rows that do not say theirs are kept too."""
    since: str = ""
    """Earliest contest date (`2024-10-01`): only problems that a model cannot have been trained on."""

    def read(self, row: Row) -> Problem | None:
        difficulty = row.data.get("difficulty")
        if difficulty is not None and difficulty not in self.difficulties:
            return None
        if self.since and str(row.data.get("contest_date", "")) < self.since:  # ISO dates sort as text
            return None
        return problem(row)

    def pose(self, problem: Problem, rows: Mapping[str, Row]) -> Problem:
        return replace(problem, prompt=question(problem, CALL))
