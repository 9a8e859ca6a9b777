"""Data sets of contest problems: CodeContests (DeepMind) and open-r1's codeforces. Programs of standard input.

Their time and memory limits are meant for compiled programs: they are kept in `meta`, and not applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from crestfall.core.types import Problem, StdioTests, Tests
from crestfall.grading.problems.base import NoTests, first_python, id_of
from crestfall.grading.problems.truth import TOLERANCE, Truth, plain, truth_of
from crestfall.store.rows import Row

_PYTHON3 = (3, "PYTHON3")
_PARTS = ("public_tests", "private_tests", "generated_tests")


def recognises(row: Row) -> bool:
    return row.has("public_tests", "private_tests") or row.has("official_tests")


def problem(row: Row) -> Problem:
    """Raises NoTests: no tests, unequal counts, files instead of standard input, interactive; InputError."""
    return _codeforces(row) if row.has("official_tests") else _code_contests(row)


def _code_contests(row: Row) -> Problem:
    if row.data.get("input_file") or row.data.get("output_file"):
        raise NoTests(f"{row.where}: it reads or writes a file in place of standard input and output")
    given = [(plain(row.data.get(part)) or {}, f"{row.where}: field {part!r}") for part in _PARTS]
    filled = [pair for pair in given if (any(pair[0].values()) if isinstance(pair[0], Mapping) else pair[0])]
    tests = [truth_of(part, where).tests for part, where in filled]
    cases = tuple(case for part in tests if isinstance(part, StdioTests) for case in part.cases)
    if not cases:
        raise NoTests(f"{row.where}: no tests")
    meta = ("difficulty", "time_limit", "memory_limit_bytes")
    prompt, reference = row.text("description", ""), _reference(row.data.get("solutions"))
    return _problem(row, ("name", "task_id", "id"), prompt, StdioTests(cases, TOLERANCE), reference, meta)


def _reference(solutions: Any) -> str | None:
    if not isinstance(solutions, Mapping):
        return None
    pairs = zip(solutions.get("language") or [], solutions.get("solution") or [], strict=False)
    return next((code for language, code in pairs if language in _PYTHON3), None)


def _codeforces(row: Row) -> Problem:
    if row.data.get("input_mode") not in (None, "stdio"):
        raise NoTests(f"{row.where}: it reads or writes a file in place of standard input and output")
    if row.data.get("interaction_format"):
        raise NoTests(f"{row.where}: it is interactive")
    tests = truth_of(row.data["official_tests"] or [], row.where).tests
    if isinstance(tests, StdioTests) and row.data.get("generated_checker"):
        tests = replace(tests, checker=row.text("generated_checker"))
    parts = ("description", "input_format", "output_format", "note")
    prompt = "\n\n".join(row.data[part] for part in parts if row.data.get(part))
    reference = first_python(row.data.get("solutions"))
    return _problem(row, ("id", "task_id"), prompt, tests, reference, ("rating", "time_limit", "memory_limit"))


def _problem(
    row: Row, ids: Sequence[str], prompt: str, tests: Tests, reference: str | None, meta: Sequence[str]
) -> Problem:
    """Nothing stands before a contest's program."""
    kept = {name: row.data[name] for name in meta if name in row.data}
    return replace(Truth(tests).problem(id_of(row, *ids), prompt, reference, **kept), header="")
