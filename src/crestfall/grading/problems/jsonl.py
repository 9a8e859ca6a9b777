"""Our own lines: `tests` as calls or as standard input and output. QuixBugs' lines are read too.

{"task_id": "double", "entry_point": "f", "tests": [[[1], 2], [[3], 6]], "prompt": ..., "stub": ..., "reference":
...} {"task_id": "double", "entry_point": "f", "tests": [{"args": [1], "expected": 2}], "compare": "exact",
"tolerance": 0} {"task_id": "echo", "tests": [{"stdin": "a\\n", "stdout": "a\\n"}], "tolerance": 1e-6}
{"task_id": "code", "entry_point": "f", "tests": "assert f(1) == 2"}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

from crestfall.core.errors import InputError
from crestfall.core.types import CallCase, CallTests, CodeTests, Problem, StdioCase, StdioTests, Tests
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
    )


def _tests(row: Row) -> Tests:
    tests = row.data["tests"]
    if isinstance(tests, str):
        return CodeTests(tests, row.data.get("entry_point"))
    if not row.items("tests"):
        raise row.error("tests", "at least one test")
    tolerance = row.data.get("tolerance", TOLERANCE)
    if not isinstance(tolerance, (int, float)) or isinstance(tolerance, bool) or tolerance < 0:
        raise row.error("tolerance", "a number of at least 0")
    if isinstance(tests[0], dict) and "stdin" in tests[0]:
        return StdioTests(tuple(_stdio(row, index, test) for index, test in enumerate(tests)), tolerance)
    compare = row.text("compare", "json")
    if compare not in ("exact", "json"):
        raise row.error("compare", "'exact' or 'json'")
    cases = [_call(row, index, test) for index, test in enumerate(tests)]
    if row.has("buggy", "correct"):
        cases, tolerance = _as_quixbugs(row, cases, tolerance)
    return CallTests(row.text("entry_point"), tuple(cases), cast(Literal["exact", "json"], compare), tolerance)


def _call(row: Row, index: int, test: Any) -> CallCase:
    if isinstance(test, dict) and isinstance(test.get("args"), list) and "expected" in test:
        return CallCase(tuple(test["args"]), test["expected"])
    if isinstance(test, list) and len(test) == 2:
        args = test[0] if isinstance(test[0], list) else [test[0]]
        return CallCase(tuple(args), test[1])
    raise InputError(
        f"{row.where}: field 'tests'[{index}] is neither [arguments, expected] nor has 'args' and 'expected'"
    )


def _stdio(row: Row, index: int, test: Any) -> StdioCase:
    if isinstance(test, dict) and isinstance(test.get("stdin"), str) and isinstance(test.get("stdout"), str):
        return StdioCase(test["stdin"], test["stdout"])
    raise InputError(f"{row.where}: field 'tests'[{index}] has no strings 'stdin' and 'stdout'")


def _as_quixbugs(row: Row, cases: list[CallCase], tolerance: float) -> tuple[list[CallCase], float]:
    name = row.text("entry_point")
    if name == "sqrt":
        tolerance = min(case.args[1] for case in cases)
    endless = _QUIXBUGS_ENDLESS.get(name)
    return [case for case in cases if endless is None or not endless(case.args)], tolerance
