"""A problem's tests as the plain data that a worker gets: built-in values only, so that they can be marshalled."""

from __future__ import annotations

import hashlib
import marshal
from dataclasses import dataclass
from typing import Any

from crestfall.core.errors import InputError
from crestfall.core.types import CallTests, Problem, StdioTests
from crestfall.grading.limits import Limits
from crestfall.grading.sandbox.pace import longest


@dataclass(frozen=True, slots=True)
class Plan:
    """`data` is sent to the workers; equal tests have equal `digest`s. `runs`: programs started per grading."""

    data: dict[str, Any]
    digest: bytes
    runs: int

    def patience(self, limits: Limits) -> float:
        """Seconds within which a worker that grades with it answers, if it does not hang: it watches over each run
        itself."""
        return self.runs * (longest(limits.cpu_seconds, limits.wall_seconds) + 60) + 60


def plan_of(problem: Problem) -> Plan:
    """Raises InputError: test values that are not plain Python data."""
    tests = problem.tests
    runs = 1
    if isinstance(tests, CallTests):
        data: dict[str, Any] = {
            "kind": "calls",
            "entry": tests.entry_point,
            "cases": [(tuple(case.args), case.expected) for case in tests.cases],
            "compare": tests.compare,
            "tolerance": tests.tolerance,
        }
    elif isinstance(tests, StdioTests):
        cases = [(case.stdin, case.stdout) for case in tests.cases]
        data = {"kind": "stdio", "cases": cases, "tolerance": tests.tolerance}
        runs = len(cases)
    else:
        data = {"kind": "code", "code": tests.code, "entry": tests.entry_point, "helpers": problem.stub}
    try:
        digest = hashlib.blake2b(marshal.dumps(data), digest_size=16).digest()
    except ValueError:
        raise InputError(
            f"{problem.task_id}: test values must be plain Python data (numbers, strings, lists, tuples, sets, dicts)"
        ) from None
    return Plan(data, digest, runs)
