"""CodeGrader on problems that are called: verdicts, order, duplicates, the cache."""

import pytest

from crestfall.core.types import CallCase, CallTests, Problem, Verdict
from crestfall.grading import CodeGrader, Limits


def problem(*cases: tuple[tuple, object], entry: str = "f", stub: str = "") -> Problem:
    return Problem(
        "t", "", CallTests(entry, tuple(CallCase(args, expected) for args, expected in cases)), "k", stub=stub
    )


DOUBLE = problem(((1,), 2), ((0,), 0), ((-3,), -6))


@pytest.fixture(scope="module")
def grader():
    with CodeGrader(Limits(workers=1, cpu_seconds=1, wall_seconds=3)) as grader:
        yield grader


@pytest.mark.parametrize(
    ("program", "verdict"),
    [
        ("def f(x): return 2 * x", Verdict.PASSED),
        ("def f(x): return x", Verdict.WRONG_ANSWER),
        ("def f(x): return 1 / x", Verdict.WRONG_ANSWER),
        ("def f(x): return 2 // x", Verdict.RUNTIME_ERROR),
        ("def f(:", Verdict.SYNTAX_ERROR),
        ("def g(x): return 2 * x", Verdict.RUNTIME_ERROR),
        ("while True: pass", Verdict.TIME_LIMIT),
        ("x = [0] * 10**11", Verdict.MEMORY_LIMIT),
        ("while True: print('x' * 1000)", Verdict.OUTPUT_LIMIT),
        (" \n", Verdict.NO_CODE),
    ],
)
def test_verdicts(grader, program, verdict):
    grade = grader.grade(DOUBLE, program)
    assert grade.verdict is verdict, grade
    assert grade.detail.isprintable()


def test_a_batch_keeps_its_order_and_runs_equal_pairs_once():
    with CodeGrader(Limits(workers=2)) as grader:
        programs = [f"def f(x): return x * {i % 5}" for i in range(40)]
        grades = grader.grade_batch([(DOUBLE, program) for program in programs])
        assert [grade.passed for grade in grades] == [i % 5 == 2 for i in range(40)]
        assert grader.statistics.run == 5
        assert grader.grade_batch([(DOUBLE, program) for program in programs]) == grades
        assert grader.statistics.run == 5
