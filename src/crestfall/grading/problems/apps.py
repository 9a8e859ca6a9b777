"""APPS and TACO: `input_output` holds inputs and outputs, of a program or (with `fn_name`) of a function."""

from __future__ import annotations

from typing import Any

from crestfall.core.types import Problem, ProblemLimits
from crestfall.grading.problems.base import NoTests, first_python, id_of
from crestfall.grading.problems.truth import truth_of
from crestfall.grading.sandbox.header import LEETCODE
from crestfall.store.rows import Row


def recognises(row: Row) -> bool:
    return row.has("input_output") and (row.has("question") or row.has("problem_id"))


def problem(row: Row) -> Problem:
    """Raises NoTests: the row is one of those without tests; InputError."""
    if not row.data["input_output"]:
        raise NoTests(f"{row.where}: no tests")
    tests = row.embedded("input_output")
    if not isinstance(tests, dict) or not all(isinstance(tests.get(name), list) for name in ("inputs", "outputs")):
        raise row.error("input_output", "an object with the lists 'inputs' and 'outputs'")
    number = id_of(row, "problem_id", "task_id", "id")
    return Problem(
        number,
        row.text("question", ""),
        truth_of(tests, row.where).tests,
        key=number,
        header=LEETCODE,
        limits=ProblemLimits(per_test=True),
        reference=first_python(row.embedded("solutions")) if row.data.get("solutions") else None,
        meta={
            "difficulty": row.data.get("difficulty"),
            "starter_code": row.data.get("starter_code", ""),
            **_limits(row),
        },
    )


def _limits(row: Row) -> dict[str, Any]:
    """TACO's limits, which are meant for compiled programs: kept, and not applied."""
    return {name: row.data[name] for name in ("time_limit", "memory_limit") if row.data.get(name)}
