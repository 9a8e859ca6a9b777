"""APPS as a task source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from crestfall.core.registry import register
from crestfall.core.types import Problem, StdioTests
from crestfall.grading.problems.training import problem
from crestfall.store.rows import Row
from crestfall.testbed.tasks.benchmark import Benchmark

Difficulty = Literal["introductory", "interview", "competition"]
CALL = "Write a program that defines what the question asks for; it is called, and nothing is read or printed."
STDIO = "Write a program that reads standard input and writes to standard output."


@register("tasks", "apps")
@dataclass(frozen=True)
class Apps(Benchmark):
    """APPS: a question as contests ask it, answered by a program or, where there is starter code, by a function."""

    name: ClassVar[str]

    difficulties: tuple[Difficulty, ...] = ("introductory", "interview")
    """The difficulties that are kept; rows that do not say theirs are kept too. The default reads "medium-easy", the
    paper's subset, as all but the hardest. Rows without tests are left out: nothing could grade them."""

    def read(self, row: Row) -> Problem | None:
        difficulty = row.data.get("difficulty")
        unwanted = difficulty is not None and difficulty not in self.difficulties
        return None if unwanted or not row.data.get("input_output") else problem(row)

    def pose(self, problem: Problem, rows: Mapping[str, Row]) -> Problem:
        return replace(problem, prompt=question(problem, CALL))


def question(problem: Problem, call: str) -> str:
    """The prompt of a contest's problem: the question, then where the answer has to come from and go to."""
    if isinstance(problem.tests, StdioTests):
        return f"{problem.prompt.strip()}\n\n{STDIO}\n"
    starter = str(problem.meta.get("starter_code") or "").rstrip()
    begin = f" Begin with this:\n\n```python\n{starter}\n```" if starter else ""
    return f"{problem.prompt.strip()}\n\n{call}{begin}\n"
