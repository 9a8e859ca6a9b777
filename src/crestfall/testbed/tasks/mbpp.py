"""MBPP as a task source: full, sanitized or MBPP+."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from pydantic import Field

from crestfall.core.errors import InputError
from crestfall.core.registry import register
from crestfall.core.types import Problem
from crestfall.grading.problems.mbpp import problem
from crestfall.store.rows import Row
from crestfall.testbed.tasks.benchmark import Benchmark

# The prompt of Austin et al. 2021 (appendix A) and the problems that it shows solved.
TASK = (
    "You are an expert Python programmer, and here is your task: {text} Your code should pass these tests:\n\n{tests}\n"
)
EXAMPLES = ("2", "3", "4")
BEGIN, DONE = "[BEGIN]\n", "\n[DONE]"


@register("tasks", "mbpp")
@dataclass(frozen=True)
class Mbpp(Benchmark):
    """MBPP (full, sanitized or MBPP+): a sentence and the asserts that a function written from nothing has to pass."""

    name: ClassVar[str]
    excluded: ClassVar[tuple[str, ...]] = EXAMPLES
    poses_from_rows: ClassVar[bool] = True

    examples: Annotated[int, Field(ge=0, le=len(EXAMPLES))] = 0
    """Solved problems shown first (the usual ones: 2, 3 and 4), for base models: 3 is what MBPP is scored with. Those
    three are in no pool, whatever this says, so that arms with and without examples have the same pools."""

    def read(self, row: Row) -> Problem:
        return problem(row)

    def pose(self, problem: Problem, rows: Mapping[str, Row]) -> Problem:
        task = _task(rows[problem.task_id])
        if not self.examples:
            return replace(problem, prompt=task)
        shown = "".join(self._solved(number, rows) for number in EXAMPLES[: self.examples])
        return replace(problem, prompt=f"{shown}{task}{BEGIN}", meta={"stop": (DONE,)})

    def _solved(self, number: str, rows: Mapping[str, Row]) -> str:
        if number not in rows:
            raise InputError(f"{self.where}: tasks.examples={self.examples} needs problem {number}, which is not in it")
        return f"{_task(rows[number])}{BEGIN}{_code(rows[number])}{DONE}\n\n"


def _task(row: Row) -> str:
    tests = row.strings("test_list")
    return TASK.format(text=row.text("text" if row.has("text") else "prompt").strip(), tests="\n".join(tests))


def _code(row: Row) -> str:
    return row.text("code").replace("\r\n", "\n").strip()
