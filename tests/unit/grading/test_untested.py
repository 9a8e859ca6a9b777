"""Tests pass a program only where they have run it, and nothing that happens in them hides how the program ended."""

from __future__ import annotations

import pytest

from crestfall.core.types import CodeTests, Problem, Verdict
from crestfall.grading import CodeGrader, Limits

RIGHT = "def f(x):\n    return x * x\n"
WRONG = "def f(x):\n    return 'wrong'\n"


@pytest.fixture(scope="module")
def grader():
    with CodeGrader(Limits(workers=1, cpu_seconds=1, wall_seconds=2)) as grader:
        yield grader


def problem(tests: str, entry: str | None = "f") -> Problem:
    return Problem("t", "", CodeTests(tests, entry), "t")


STARTED = {
    "functions": "def test_one():\n    assert f(2) == 4\ndef test_two():\n    assert f(3) == 9\n",
    "one of them is called": "def test_one():\n    f(1)\ndef test_two():\n    assert f(3) == 9\ntest_one()\n",
    "a plain class": "class TestF:\n    def setup_method(self):\n        self.x = 2\n"
    "    def test_a(self):\n        assert f(self.x) == 4\n",
    "unittest": "import unittest\nclass Case(unittest.TestCase):\n    def test_a(self):\n"
    "        self.assertEqual(f(2), 4)\n",
    "unittest, guarded main": "import unittest\nclass TestF(unittest.TestCase):\n"
    "    def setUp(self):\n        self.x = 2\n"
    "    def test_a(self):\n        self.assertEqual(f(self.x), 4)\nif __name__ == '__main__':\n    unittest.main()\n",
    "unittest, main": "import unittest\nclass TestF(unittest.TestCase):\n    def test_a(self):\n"
    "        for x in (2, 3):\n            with self.subTest(x=x):\n                self.assertEqual(f(x), x * x)\n"
    "unittest.main()\n",
    "a runner that raises nothing": "import unittest\nclass TestF(unittest.TestCase):\n    def test_a(self):\n"
    "        self.assertEqual(f(2), 4)\n"
    "unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(TestF))\n",
    "main": "if __name__ == '__main__':\n    assert f(2) == 4\n",
    "from solution": "from solution import f\ndef test_one():\n    assert f(2) == 4\n",
    "from solution, renamed": "from solution import f as g\nassert g(2) == 4\n",
    "from an unknown module": "from my_square import f\nassert f(2) == 4\n",
    "candidate": "def test(candidate):\n    assert candidate(2) == 4\n",
    "coroutine": "async def test_one():\n    assert f(2) == 4\n",
}


@pytest.mark.parametrize("name", STARTED)
def test_what_can_be_run_is_run(grader, name):
    assert grader.grade(problem(STARTED[name]), RIGHT).passed
    assert grader.grade(problem(STARTED[name]), WRONG).verdict is Verdict.WRONG_ANSWER


def test_check_without_an_entry_point(grader):
    check = problem("def check(candidate):\n    assert candidate(2) == 4\n", None)
    assert grader.grade(check, RIGHT).passed
    assert grader.grade(check, WRONG).verdict is Verdict.WRONG_ANSWER
    helped = "def g(x): return x * x\ndef f(x): return g(x)\n"
    assert grader.grade(check, helped).passed
    # The last one counts: no program chooses that it cannot be graded.
    assert grader.grade(check, RIGHT + "def g(x): return x\n").verdict is Verdict.WRONG_ANSWER
    assert grader.grade(check, "x = 1").verdict is Verdict.RUNTIME_ERROR


@pytest.mark.parametrize(
    "tests",
    ["", "# assert f(2) == 4\n", "assert True", "x = 1", "f", "assert 1 == 1", "def helper():\n    assert f(2)\n"],
)
def test_what_never_runs_the_program_passes_nothing(grader, tests):
    for program in (RIGHT, WRONG):
        grade = grader.grade(problem(tests), program)
        assert grade.verdict is Verdict.WRONG_ANSWER
        assert "never ran the program" in grade.detail


@pytest.mark.parametrize("tests", ["def helper():\n    f(2)\n", "f(2) == 4", "print(f(2) == 4)"])
def test_what_asserts_nothing_is_refused(grader, tests):
    with pytest.warns(UserWarning, match="not graded"):
        grade = grader.grade(problem(tests), f"{RIGHT}# {tests!r}")
    assert grade.verdict is Verdict.UNSUPPORTED
    assert "assert nothing" in grade.detail


def test_an_assertion_that_the_tests_swallow_has_failed(grader):
    swallow = problem("try:\n    assert f(2) == 4\nexcept Exception:\n    pass\n")
    assert grader.grade(swallow, RIGHT).passed
    assert grader.grade(swallow, WRONG).verdict is Verdict.WRONG_ANSWER
    either = problem("try:\n    assert f(2) == 5\nexcept AssertionError:\n    assert f(2) == 4\n")
    assert grader.grade(either, RIGHT).passed


def test_a_fault_of_the_tests_is_not_the_programs(grader):
    with pytest.warns(UserWarning, match="no_such_package"):
        grade = grader.grade(problem("import no_such_package\nassert f(2) == 4"), RIGHT)
    assert grade.verdict is Verdict.UNSUPPORTED
    assert "no_such_package" in grade.detail
    fixture = problem("def test_one(fixture):\n    assert f(fixture['x']) == 4\ndef test_two(a, b): pass", None)
    assert grader.grade(fixture, RIGHT).verdict is not Verdict.PASSED


BARE = """
def check(c):
    assert c(2) == 4
    try:
        c(-1)
    except:
        pass
    else:
        assert False
"""


@pytest.mark.parametrize(
    ("end", "verdict"),
    [
        ("os._exit(0)", Verdict.RUNTIME_ERROR),
        ("os.fork()", Verdict.VIOLATION),
        ("os.write(3, b'zzz\\n')", Verdict.VIOLATION),
        ("return 'x' * (20 << 20)", Verdict.OUTPUT_LIMIT),
        ("sys.exit(0)", Verdict.RUNTIME_ERROR),
    ],
)
def test_a_bare_except_swallows_no_end_of_the_program(grader, end, verdict):
    program = f"import os, sys\ndef f(x):\n    if x < 0: {end}\n    return x * x\n"
    assert grader.grade(problem(BARE), program).verdict is verdict


def test_a_bare_except_may_swallow_an_exception(grader):
    assert grader.grade(problem(BARE), "def f(x):\n    if x < 0: raise ValueError\n    return x * x\n").passed


@pytest.mark.parametrize(
    "tests",
    [
        "assert all(map(lambda p: p[0] == p[1], zip(map(f, [1, 2]), [1, 4])))",
        "for got, want in zip(map(f, [1, 2]), [1, 4]):\n    assert got == want",
        "for got in (f(x) for x in [2]):\n    assert got == 4",
    ],
)
def test_stop_iteration_ends_no_loop_of_the_tests(grader, tests):
    assert not grader.grade(problem(tests), "def f(x): raise StopIteration").passed
    assert grader.grade(problem(tests), RIGHT).passed


def test_exceptions_that_the_tests_name_are_raised_as_such(grader):
    stop = problem("try:\n    f(1)\nexcept StopIteration:\n    pass\nelse:\n    assert False")
    assert grader.grade(stop, "def f(x): raise StopIteration").passed
    leave = problem("try:\n    f(1)\nexcept SystemExit as error:\n    assert error.code\nelse:\n    assert False")
    assert grader.grade(leave, "def f(x): raise SystemExit(3)").passed


@pytest.mark.parametrize(
    "value",
    ["Decimal('0.1')", "Fraction(1, 3)", "Counter('aab')", "deque([1, 2])", "range(3)", "OrderedDict(a=1)", "{1, 2}"],
)
def test_what_a_program_gives_can_be_given_back(grader, value):
    imports = "from decimal import *\nfrom fractions import *\nfrom collections import *\n"
    program = f"{imports}def g(): return {value}\ndef f(v): return v == {value} and type(v) is type({value})\n"
    assert grader.grade(problem("assert f(g()) is True\nassert f([g()]) is False"), program).passed
