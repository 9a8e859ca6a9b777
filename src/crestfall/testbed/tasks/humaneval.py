"""HumanEval and HumanEval+ as a task source: a signature with its docstring, to be completed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from crestfall.core.registry import register
from crestfall.core.types import Problem
from crestfall.grading.problems.humaneval import STOP, problem
from crestfall.store.rows import Row
from crestfall.testbed.tasks.benchmark import Benchmark

INSTRUCTION = "Complete this Python function. Answer with the whole program in one code block.\n\n"


@register("tasks", "humaneval")
@dataclass(frozen=True)
class HumanEval(Benchmark):
    """HumanEval or HumanEval+: a signature with its docstring, to be completed."""

    name: ClassVar[str]

    form: Literal["completion", "instruction"] = "completion"
    """`completion`: the prompt is signature and docstring alone, as a base model wants it. `instruction`: the same in a
    code block behind a sentence that asks for it, for chat models. The stub, and with it what is graded, is the same: a
    whole program behind the stub defines the function anew."""

    def read(self, row: Row) -> Problem:
        return problem(row)

    def pose(self, problem: Problem, rows: Mapping[str, Row]) -> Problem:
        if self.form == "completion":
            return replace(problem, meta={"stop": STOP})
        return replace(problem, prompt=f"{INSTRUCTION}```python\n{problem.prompt.rstrip()}\n```\n")
