"""Data sets of contest problems: CodeContests (DeepMind) and open-r1's codeforces. Programs of standard input.

Their time and memory limits are meant for compiled programs: they are kept in `meta`, and not applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from crestfall.core.types import Problem, ProblemLimits, StdioTests
from crestfall.grading.problems.base import NoTests, first_python, id_of
from crestfall.grading.problems.truth import stdio, truth_of
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
    inputs: list[Any] = []
    outputs: list[Any] = []
    for part in _PARTS:
        tests = row.data.get(part) or {}
        given, wanted = tests.get("input") or [], tests.get("output") or []
        if len(given) != len(wanted):
            raise NoTests(f"{row.where}: field {part!r} has {len(given)} inputs and {len(wanted)} outputs")
        inputs += given
        outputs += wanted
    if not inputs:
        raise NoTests(f"{row.where}: no tests")
    number = id_of(row, "name", "task_id", "id")
    return Problem(
        number,
        row.text("description", ""),
        stdio(inputs, outputs),
        key=number,
        limits=ProblemLimits(per_test=True),
        reference=_reference(row.data.get("solutions")),
        meta={name: row.data[name] for name in ("difficulty", "time_limit", "memory_limit_bytes") if name in row.data},
    )


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
    number = id_of(row, "id", "task_id")
    parts = ("description", "input_format", "output_format", "note")
    return Problem(
        number,
        "\n\n".join(row.data[part] for part in parts if row.data.get(part)),
        tests,
        key=number,
        limits=ProblemLimits(per_test=True),
        reference=first_python(row.data.get("solutions")),
        meta={name: row.data[name] for name in ("rating", "time_limit", "memory_limit") if name in row.data},
    )
