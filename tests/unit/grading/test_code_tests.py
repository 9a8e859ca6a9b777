"""Tests that are code: they run beside the program, and see of it what they would see in one process."""

from __future__ import annotations

import pytest

from crestfall.core.types import CodeTests, Problem, StdioCase, StdioTests, Verdict
from crestfall.grading import CodeGrader, Limits


@pytest.fixture(scope="module")
def grader():
    with CodeGrader(Limits(workers=1, cpu_seconds=1, wall_seconds=2)) as grader:
        yield grader


def code(tests: str, entry: str | None = None, stub: str = "") -> Problem:
    return Problem("t", "", CodeTests(tests, entry), "t", stub=stub)


@pytest.mark.parametrize(
    ("tests", "program"),
    [
        ("assert f(1) == 2", "def f(x): return x + 1"),
        ("assert sum(3, 4) == 7", "def sum(a, b): return a + b"),
        ("xs = [3, 1]\nf(xs)\nassert xs == [1, 3]", "def f(xs): xs.sort()"),
        ("assert list(f(3)) == [0, 1, 2]", "def f(n): yield from range(n)"),
        ("assert f(P(1, 2)) == 3", "class P:\n  def __init__(s, a, b): s.a, s.b = a, b\ndef f(p): return p.a + p.b"),
        (
            "n = N(1)\nn.next = N(2)\nassert f(n) == 3",
            "class N:\n  def __init__(s, v): s.v, s.next = v, None\ndef f(n): return n.v + n.next.v",
        ),
        ("try:\n    f(0)\n    assert False\nexcept ZeroDivisionError: pass", "def f(x): return 1 / x"),
        ("assert f((1, 'a', 2.5), int) == ['a', 2.5]", "def f(t, k): return [x for x in t if not isinstance(x, k)]"),
        ("assert isinstance(f(), tuple) and f() == (1, {2})", "def f(): return 1, {2}"),
        (
            "from decimal import Decimal\nassert f() == Decimal('0.1')",
            "from decimal import Decimal\ndef f(): return Decimal('0.1')",
        ),
    ],
)
def test_passes(grader, tests, program):
    assert grader.grade(code(tests, "sum" if "sum" in tests else None), program).passed


def test_helpers_of_the_prompt_are_not_the_programs_to_change(grader):
    stub = "def encode(s):\n    return s[::-1]\n\ndef decode(s):\n"
    problem = code("def check(c):\n    assert c(encode('abc')) == 'abc'", "decode", stub)
    assert grader.grade(problem, stub + "    return s[::-1]").passed
    assert not grader.grade(problem, stub + "    return s\ndef encode(s): return s").passed


@pytest.mark.parametrize("method", ["__eq__", "__lt__", "__contains__", "__sub__", "__radd__"])
def test_values_are_not_compared_in_the_program(grader, method):
    program = f"class A:\n    def {method}(self, other): return True\ndef f(x): return A()"
    for tests in ("assert f(1) == 2", "assert f(1) < 2", "assert 2 in f(1)", "assert abs(f(1) - 2) < 1"):
        assert not grader.grade(code(tests), program).passed


def test_standard_input_and_output(grader):
    problem = Problem("t", "", StdioTests((StdioCase("1 2\n", "3\n"), StdioCase("2 2\n", "4"))), "t")
    assert grader.grade(problem, "print(sum(map(int, input().split())))").passed
    assert grader.grade(problem, "import sys\nprint(sum(map(int, sys.stdin.read().split())))\nsys.exit(0)").passed
    assert grader.grade(problem, "print(3)").verdict is Verdict.WRONG_ANSWER
    assert grader.grade(problem, "print(3)\nquit()\nprint(4)").verdict is Verdict.WRONG_ANSWER
    assert grader.grade(problem, "print(sum(map(int, input().split())))\n1 / 0").verdict is Verdict.RUNTIME_ERROR
