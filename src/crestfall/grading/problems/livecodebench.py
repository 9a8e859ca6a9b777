"""LiveCodeBench: public and private tests, of a program or (with `func_name`) of a method of `class Solution`.

Private tests are JSON, or packed (`packed`).
"""

from __future__ import annotations

from dataclasses import replace

from crestfall.core.errors import InputError
from crestfall.core.types import CallTests, Problem, ProblemLimits, StdioTests
from crestfall.grading.problems.base import NoTests
from crestfall.grading.problems.truth import checked, plain
from crestfall.grading.sandbox.header import LEETCODE
from crestfall.store.jsonl import loads
from crestfall.store.rows import Row


def recognises(row: Row) -> bool:
    return row.has("public_test_cases") and (row.has("question_content") or row.has("private_test_cases"))


def problem(row: Row) -> Problem:
    """Raises InputError."""
    cases = _cases(row, "public_test_cases")
    if row.has("private_test_cases"):
        cases += _cases(row, "private_test_cases")
    if not cases:
        raise NoTests(f"{row.where}: no tests")
    tests = checked(cases, row.where, _name(row))
    number = row.task_id("question_id")
    return Problem(
        number,
        row.text("question_content", row.text("question_title", "")),
        replace(tests, tolerance=0.0) if isinstance(tests, (CallTests, StdioTests)) else tests,
        key=number,
        header=LEETCODE,
        limits=ProblemLimits(per_test=True),
        meta={"difficulty": row.data.get("difficulty"), "starter_code": row.data.get("starter_code", "")},
    )


def _cases(row: Row, name: str) -> list[dict[str, str]]:
    value = row.data[name]
    try:
        cases = plain(value)
    except ValueError as error:
        raise InputError(f"{row.where}: field {name!r} is neither JSON nor packed tests: {error}") from None
    fields = ("input", "output", "testtype")
    if not isinstance(cases, list) or not all(
        isinstance(case, dict) and all(isinstance(case.get(field), str) for field in fields) for case in cases
    ):
        raise row.error(name, "a list of objects with the strings 'input', 'output' and 'testtype'")
    return cases


def _name(row: Row) -> str | None:
    metadata = row.embedded("metadata")
    if metadata is None and isinstance(original := row.data.get("original_json"), dict):  # LiveBench's rows
        metadata = loads(original.get("metadata") or "null")
    return metadata.get("func_name") if isinstance(metadata, dict) else None
