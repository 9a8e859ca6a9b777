"""LiveCodeBench: public and private tests, of a program or (with `func_name`) of a method of `class Solution`.

Private tests are JSON, or packed (`packed`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from crestfall.core.errors import InputError
from crestfall.core.types import CodeTests, Problem
from crestfall.grading.problems.truth import plain, truth_of
from crestfall.store.jsonl import loads
from crestfall.store.rows import Row

_PARTS = ("public_test_cases", "private_test_cases")


def recognises(row: Row) -> bool:
    return row.has("public_test_cases") and (row.has("question_content") or row.has("private_test_cases"))


def problem(row: Row) -> Problem:
    """Raises NoTests, InputError."""
    cases = [case for name in _PARTS if row.has(name) for case in _cases(row, name)]
    truth = truth_of(cases, row.where, _name(row))
    assert not isinstance(truth.tests, CodeTests)
    return replace(truth, tests=replace(truth.tests, tolerance=0.0)).problem(
        row.task_id("question_id"),
        row.text("question_content", row.text("question_title", "")),
        difficulty=row.data.get("difficulty"),
        starter_code=row.data.get("starter_code", ""),
    )


def _cases(row: Row, name: str) -> list[Any]:
    try:
        cases = plain(row.data[name])
    except ValueError as error:
        raise InputError(f"{row.where}: field {name!r} is neither JSON nor packed tests: {error}") from None
    if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        raise row.error(name, "a list of objects with 'input', 'output' and 'testtype'")
    return cases


def _name(row: Row) -> str | None:
    metadata = row.embedded("metadata")
    if metadata is None and isinstance(original := row.data.get("original_json"), dict):  # LiveBench's rows
        metadata = loads(original.get("metadata") or "null")
    return metadata.get("func_name") if isinstance(metadata, dict) else None
