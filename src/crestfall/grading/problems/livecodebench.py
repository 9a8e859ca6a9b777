"""LiveCodeBench: public and private tests, of a program or (with `func_name`) of a method of `class Solution`.

Private tests are JSON, or packed (`packed`).
"""

from __future__ import annotations

from typing import Any

from crestfall.core.errors import InputError
from crestfall.core.types import CallCase, CallTests, Problem, ProblemLimits, StdioCase, StdioTests
from crestfall.grading.problems.base import NoTests
from crestfall.grading.problems.packed import unpacked
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
    kinds = {case["testtype"] for case in cases}
    if kinds - {"stdin", "functional"} or len(kinds) != 1:
        raise InputError(f"{row.where}: 'testtype' of the tests is {sorted(kinds)}, expected stdin or functional")
    number = row.task_id("question_id")
    return Problem(
        number,
        row.text("question_content", row.text("question_title", "")),
        _functional(row, cases) if kinds == {"functional"} else _stdin(cases),
        key=number,
        header=LEETCODE,
        limits=ProblemLimits(per_test=True),
        meta={"difficulty": row.data.get("difficulty"), "starter_code": row.data.get("starter_code", "")},
    )


def _cases(row: Row, name: str) -> list[dict[str, str]]:
    value = row.data[name]
    try:
        cases = _plain(value)
    except ValueError as error:
        raise InputError(f"{row.where}: field {name!r} is neither JSON nor packed tests: {error}") from None
    fields = ("input", "output", "testtype")
    if not isinstance(cases, list) or not all(
        isinstance(case, dict) and all(isinstance(case.get(field), str) for field in fields) for case in cases
    ):
        raise row.error(name, "a list of objects with the strings 'input', 'output' and 'testtype'")
    return cases


def _plain(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return loads(value)
    except ValueError:
        return unpacked(value)


def _functional(row: Row, cases: list[dict[str, str]]) -> CallTests:
    metadata = row.embedded("metadata")
    if metadata is None and isinstance(original := row.data.get("original_json"), dict):  # LiveBench's rows
        metadata = loads(original.get("metadata") or "null")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("func_name"), str):
        raise row.error("metadata", "an object with the string 'func_name'")
    try:
        calls = tuple(
            CallCase(tuple(loads(line) for line in case["input"].split("\n") if line), loads(case["output"]))
            for case in cases
        )
    except ValueError:
        raise InputError(f"{row.where}: a functional test whose arguments or output are not JSON") from None
    return CallTests(metadata["func_name"], calls, "json")


def _stdin(cases: list[dict[str, str]]) -> StdioTests:
    return StdioTests(tuple(StdioCase(case["input"], case["output"]) for case in cases))
