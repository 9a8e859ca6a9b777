"""APPS: `input_output` holds inputs and outputs, of a program or (with `fn_name`) of a function."""

from __future__ import annotations

from typing import Any

from crestfall.core.errors import InputError
from crestfall.core.types import CallCase, CallTests, Problem, ProblemLimits, StdioCase, StdioTests
from crestfall.grading.sandbox.header import LEETCODE
from crestfall.store.rows import Row

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
        header=LEETCODE,
        limits=ProblemLimits(per_test=True),
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
