"""A problem's tests as the plain data that a worker gets: built-in values only, so that they can be marshalled."""

from __future__ import annotations

import ast
import hashlib
import marshal
from dataclasses import dataclass
from typing import Any, Literal

from crestfall.core.errors import InputError
from crestfall.core.syntax import parsed
from crestfall.core.types import CallTests, Problem, StdioTests
from crestfall.grading.isolation import placement
from crestfall.grading.limits import Limits
from crestfall.grading.sandbox.pace import longest


@dataclass(frozen=True, slots=True)
class Plan:
    """`data` is sent to the workers; equal tests have equal `digest`s. `runs`: programs started per grading. `refusal`:
    why no program can be graded by these tests. `size`: of the data, in bytes."""

    data: dict[str, Any]
    digest: bytes
    runs: int
    refusal: str = ""
    size: int = 0

    @property
    def isolation(self) -> Literal["outside", "inside"]:
        return "inside" if self.data.get("isolation") == "inside" else "outside"

    def patience(self, limits: Limits) -> float:
        """Seconds within which a worker that grades with it answers, if it does not hang: it watches over each run
        itself."""
        cpu = max(self.data["cpu_seconds"] or 0.0, limits.cpu_seconds)
        runs = len(self.data["cases"]) if limits.every_test and "cases" in self.data else self.runs
        return runs * (longest(cpu, limits.wall_seconds) + 60) + 60


def plan_of(problem: Problem, grader: Limits) -> Plan:
    """Raises InputError: test values that are not plain Python data."""
    tests, limits = problem.tests, problem.limits
    data: dict[str, Any] = {
        "header": problem.header,
        "cpu_seconds": limits.cpu_seconds,
        "memory_mib": limits.memory_mib,
        "per_test": limits.per_test,
    }
    runs, refusal = 1, ""
    if isinstance(tests, CallTests):
        runs = len(tests.cases) if limits.per_test else 1
        data |= {
            "kind": "calls",
            "entry": tests.entry_point,
            "cases": [(tuple(c.args), dict(c.kwargs), c.expected, *c.accepted) for c in tests.cases],
            "compare": tests.compare,
            "tolerance": tests.tolerance,
            "in_place": _in_place(problem, tests),
            "reference": tests.reference,
            "oracle": tests.oracle,
            "base": tests.base,
        }
    elif isinstance(tests, StdioTests):
        cases = [(case.stdin, case.stdout, *case.accepted) for case in tests.cases]
        data |= {"kind": "stdio", "cases": cases, "tolerance": tests.tolerance, "checker": tests.checker}
        runs = len(cases) * (1 if tests.checker is None else 3)
    else:
        place = placement(tests.code, tests.entry_point, problem.stub, problem.reference, grader.packages)
        data |= {
            "kind": "code",
            "code": tests.code,
            "entry": tests.entry_point,
            "helpers": problem.stub,
            "reference": problem.reference,
            "isolation": place.isolation,
            "importable": grader.packages,
        }
        refusal = place.refusal
        if place.isolation == "inside" and not grader.inside:
            refusal = f"these tests have to run in the program's process, which is forbidden: {place.reason}"
    try:
        packed = marshal.dumps(data)
    except ValueError:
        raise InputError(
            f"{problem.task_id}: test values must be plain Python data (numbers, strings, lists, tuples, sets, dicts)"
        ) from None
    digest = hashlib.blake2b(packed, digest_size=16).digest()
    return Plan(data, digest, runs, refusal, len(packed))


def _in_place(problem: Problem, tests: CallTests) -> bool | None:
    """`in_place` as the tests state it; else False if the reference returns a value: a program has to do so too."""
    if tests.in_place is not None or problem.reference is None:
        return tests.in_place
    name = tests.entry_point.rpartition(".")[2]
    nodes = ast.walk(parsed(problem.reference) or ast.Module([], []))
    functions = (node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    inner = [node for function in functions if function.name == name for node in ast.walk(function)]
    returns = any(isinstance(node, (ast.Return, ast.Yield)) and node.value is not None for node in inner)
    return False if returns else None
