"""A grader per isolation mode: everything the kernel gives, and what an ordinary container leaves."""

from __future__ import annotations

import pytest

from crestfall.core.types import CallCase, CallTests, Problem
from crestfall.grading import CodeGrader, Limits

MODES = {"full": (), "no-namespaces": ("namespaces",), "no-landlock": ("landlock",)}
CPU, WALL = 0.4, 0.75


@pytest.fixture(scope="session", params=MODES)
def grader(request):
    limits = Limits(
        workers=1,
        cpu_seconds=CPU,
        wall_seconds=WALL,
        memory_mib=256,
        output_bytes=1 << 20,
        without=MODES[request.param],
    )
    with CodeGrader(limits) as grader:
        yield grader


@pytest.fixture(scope="session")
def secret() -> Problem:
    """A problem whose expected answers are unlikely to be guessed."""
    cases = tuple(CallCase((i,), f"answer-{i * 7919 + 104729}") for i in range(4))
    return Problem("secret", "", CallTests("f", cases), "secret")
