"""Our own lines: `tests` as calls, as standard input and output, or as code. QuixBugs' lines are read too.

{"task_id": "double", "entry_point": "f", "tests": [[[1], 2], [[3], 6]], "prompt": ..., "stub": ..., "reference":
...} {"task_id": "double", "entry_point": "f", "tests": [{"args": [1], "expected": 2}], "compare": "exact",
"tolerance": 0} {"task_id": "echo", "tests": [{"stdin": "a\\n", "stdout": "a\\n"}], "tolerance": 1e-6}
{"task_id": "code", "entry_point": "f", "tests": "assert f(1) == 2"}

A test may have `kwargs`, and `accepted`: a list of further results or outputs that are right too. A line may have
`checker` (a program that judges outputs), `in_place` (the result is the first argument), `header` (source that stands
before every program, or "leetcode"), and limits: `time_limit` in seconds, `memory_limit` in MiB, `limit_per_test`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, cast

from crestfall.core.errors import InputError
from crestfall.core.syntax import parse_foreign
from crestfall.core.types import CallTests, CodeTests, Problem, ProblemLimits, StdioTests, Tests
from crestfall.grading.problems.base import NoTests
from crestfall.grading.problems.truth import NAMES, checked, plain
from crestfall.grading.sandbox.header import LEETCODE
from crestfall.store.rows import Row

TOLERANCE = 1e-6

# What QuixBugs' own test suite leaves out or loosens: two cases that no machine finishes in reasonable time or memory,
# and square roots that are right to within the argument `epsilon`.
_QUIXBUGS_ENDLESS: dict[str, Callable[[tuple[Any, ...]], bool]] = {
    "knapsack": lambda args: args[0] > 10**6,
    "levenshtein": lambda args: len(args[1]) > 40,
}


def recognises(row: Row) -> bool:
    return row.has("task_id", "tests")


def problem(row: Row) -> Problem:
    """Raises InputError."""
    number = row.task_id("task_id")
    reference = row.data.get("reference", row.data.get("correct"))
    return Problem(
        number,
        row.text("prompt", ""),
        _tests(row),
        key=str(row.data.get("key", number)),
        stub=row.text("stub", ""),
        reference=reference if isinstance(reference, str) else None,
        header=LEETCODE if row.text("header", "") == "leetcode" else row.text("header", ""),
        limits=_limits(row),
    )


def _limits(row: Row) -> ProblemLimits:
    for name in ("time_limit", "memory_limit"):
        value = row.data.get(name)
        if value is not None and (not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0):
            raise row.error(name, "a number of more than 0")
    memory = row.data.get("memory_limit")
    return ProblemLimits(
        row.data.get("time_limit"), None if memory is None else int(memory), bool(row.data.get("limit_per_test", False))
    )


def _tests(row: Row) -> Tests:
    tests = plain(row.data["tests"])  # a list in a string would be code that does nothing
    name = next((row.data[key] for key in NAMES if row.data.get(key)), None)
    if isinstance(tests, str):
        return CodeTests(tests, name)
    if tests == []:
        raise NoTests(f"{row.where}: no tests")
    if not isinstance(tests, (list, dict)):
        raise row.error("tests", "a list of tests, or code")
    if isinstance(tests, list) and not isinstance(tests[0], str):
        tests = [_named(row, index, test) for index, test in enumerate(tests)]
    tests = _with_options(row, checked(tests, f"{row.where}: field 'tests'", name))
    return _as_quixbugs(tests) if row.has("buggy", "correct") else tests


def _named(row: Row, index: int, test: Any) -> dict[str, Any]:
    """A test as an object; `[arguments, expected]` is short for one."""
    if isinstance(test, dict):
        return test
    if not isinstance(test, list) or len(test) != 2:
        where = f"{row.where}: field 'tests'[{index}]"
        raise InputError(f"{where}: expected [arguments, expected] or an object with 'args' and 'expected'")
    return {"args": test[0] if isinstance(test[0], list) else [test[0]], "expected": test[1]}


def _with_options(row: Row, tests: Tests) -> Tests:
    """Tests that are compared as the row says."""
    tolerance = row.data.get("tolerance", TOLERANCE)
    if not isinstance(tolerance, (int, float)) or isinstance(tolerance, bool) or tolerance < 0:
        raise row.error("tolerance", "a number of at least 0")
    if isinstance(tests, StdioTests):
        return replace(tests, tolerance=tolerance, checker=_checker(row))
    if not isinstance(tests, CallTests):
        return tests
    compare = row.text("compare", "json")
    if compare not in ("exact", "json"):
        raise row.error("compare", "'exact' or 'json'")
    in_place = row.data.get("in_place")
    if in_place not in (None, True, False):
        raise row.error("in_place", "true or false")
    compared = cast(Literal["exact", "json"], compare)
    return replace(tests, compare=compared, tolerance=tolerance, in_place=in_place)


def _checker(row: Row) -> str | None:
    """Raises InputError: it is no Python, so that nothing could pass or fail."""
    if row.data.get("checker") is None:
        return None
    try:
        parse_foreign(text := row.text("checker"))
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{row.where}: field 'checker' is not a Python program: {error}") from None
    return text


def _as_quixbugs(tests: Tests) -> Tests:
    assert isinstance(tests, CallTests)
    name = tests.entry_point
    tolerance = min(case.args[1] for case in tests.cases) if name == "sqrt" else tests.tolerance
    endless = _QUIXBUGS_ENDLESS.get(name)
    cases = tuple(case for case in tests.cases if endless is None or not endless(case.args))
    return replace(tests, cases=cases, tolerance=tolerance)
