"""APPS: `input_output` holds inputs and outputs, of a program or (with `fn_name`) of a function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from crestfall.errors import InputError
from crestfall.io.rows import Row
from crestfall.registry import register
from crestfall.tasks.benchmark import Benchmark
from crestfall.types import CallCase, CallTests, Problem, StdioCase, StdioTests

# APPS's own checker compares with numpy.allclose.
TOLERANCE = 1e-5


def recognises(row: Row) -> bool:
    return row.has("input_output") and (row.has("question") or row.has("problem_id"))


def problem(row: Row) -> Problem:
    """Raises InputError."""
    tests = row.embedded("input_output")
    if not isinstance(tests, dict) or not all(isinstance(tests.get(name), list) for name in ("inputs", "outputs")):
        raise row.error("input_output", "an object with the lists 'inputs' and 'outputs'")
    inputs, outputs = tests["inputs"], tests["outputs"]
    if len(inputs) != len(outputs) or not inputs:
        raise InputError(f"{row.where}: field 'input_output' has {len(inputs)} inputs and {len(outputs)} outputs")
    number = row.task_id("problem_id", "task_id", "id")
    solutions = row.embedded("solutions") if row.data.get("solutions") else []
    return Problem(
        number,
        row.text("question", ""),
        _calls(tests["fn_name"], inputs, outputs) if tests.get("fn_name") else _stdio(inputs, outputs),
        key=number,
        reference=solutions[0] if isinstance(solutions, list) and solutions else None,
        meta={"difficulty": row.data.get("difficulty"), "starter_code": row.data.get("starter_code", "")},
    )


def _calls(name: str, inputs: list[Any], outputs: list[Any]) -> CallTests:
    """Each output stands in a list of its own in most problems: it is taken out where that holds for all of them."""
    if all(isinstance(output, list) and len(output) == 1 for output in outputs):
        outputs = [output[0] for output in outputs]
    cases = tuple(CallCase(tuple(args), output) for args, output in zip(inputs, outputs, strict=True))
    return CallTests(name, cases, "json", TOLERANCE)


def _stdio(inputs: list[Any], outputs: list[Any]) -> StdioTests:
    return StdioTests(tuple(StdioCase(_lines(a), _lines(b)) for a, b in zip(inputs, outputs, strict=True)), TOLERANCE)


def _lines(text: Any) -> str:
    return "\n".join(map(str, text)) if isinstance(text, list) else str(text)


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
