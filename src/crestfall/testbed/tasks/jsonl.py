"""Your own problems as a task source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from crestfall.core.registry import register
from crestfall.core.types import Problem
from crestfall.grading.problems.jsonl import problem
from crestfall.store.rows import Row
from crestfall.testbed.tasks.benchmark import Benchmark


@register("tasks", "jsonl")
@dataclass(frozen=True)
class Jsonl(Benchmark):
    """Your own problems: each line holds `prompt` and `stub` as the policy gets them. Lines with the same `key` are one
    problem."""

    name: ClassVar[str]

    def read(self, row: Row) -> Problem:
        if not row.text("prompt", ""):
            raise row.error("prompt", "a text: it is all that a policy reads")
        return problem(row)
