"""Rows of EvalPlus: a reference says what is right, types and lengths count, base and plus are told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crestfall.core.types import Problem, Verdict
from crestfall.grading import CodeGrader, Limits
from crestfall.grading.problems.formats import problem_of
from crestfall.grading.results import passed_base, summary, write_evalplus
from crestfall.grading.samples import Sample
from crestfall.store.rows import Row


@pytest.fixture(scope="module")
def grader():
    with CodeGrader(Limits(workers=1, cpu_seconds=1, wall_seconds=2)) as grader:
        yield grader


def plus(solution: str, base: list[Any], more: list[Any], task_id: str = "HumanEval/900", **fields: Any) -> Problem:
    row = {
        "task_id": task_id,
        "prompt": "def f(x):\n",
        "entry_point": "f",
        "canonical_solution": f"    {solution}\n",
        "base_input": base,
        "plus_input": more,
    }
    return problem_of(Row(row | fields, Path("x"), 1))


HALVES = plus("return [x / 3, x / 7]", [[1], [2]], [[3], [0]])


@pytest.mark.parametrize(
    ("program", "verdict"),
    [
        ("def f(x): return [x / 3, x / 7]", Verdict.PASSED),
        ("def f(x): return [x / 3 + 1e-9, x / 7]", Verdict.PASSED),
        ("def f(x): return (x / 3, x / 7)", Verdict.WRONG_ANSWER),
        ("def f(x): return []", Verdict.WRONG_ANSWER),
        ("def f(x): return [x / 3]", Verdict.WRONG_ANSWER),
        ("def f(x): return map(float, [x / 3, x / 7])", Verdict.WRONG_ANSWER),
        ("def f(x): return [x / 3 + 1e-3, x / 7]", Verdict.WRONG_ANSWER),
        ("def f(x): return [float('nan'), x / 7]", Verdict.WRONG_ANSWER),
        ("def f(x): return None", Verdict.WRONG_ANSWER),
        ("def f(x): return 10**400", Verdict.WRONG_ANSWER),
    ],
)
def test_comparison(grader, program, verdict):
    assert grader.grade(HALVES, program).verdict is verdict


def test_a_slow_reference_costs_no_program_its_time(grader):
    slow = plus("return sum(1 for _ in range(20_000_000)) - 20_000_000 + x", [[1], [2]], [[3]])
    for number in range(3):
        assert grader.grade(slow, f"def f(x): return x  # {number}").passed


def test_a_broken_reference_is_not_the_programs_fault(grader):
    with pytest.warns(UserWarning, match="reference"):
        grade = grader.grade(plus("return 1 / 0", [[1]], []), "def f(x): return x")
    assert grade.verdict is Verdict.UNSUPPORTED


def test_programs_do_not_see_what_others_did_to_their_arguments(grader):
    total = plus("return sum(x)", [[[1, 2]]], [[[3]]])
    assert grader.grade(total, "def f(x):\n    s = sum(x)\n    x.clear()\n    return s").passed
    assert grader.grade(total, "def f(x): return sum(x)").passed


@pytest.mark.parametrize(
    ("entry", "task_id", "solution", "inputs", "right", "wrong"),
    [
        ("find_zero", "HumanEval/32", "return -0.5", [[[1, 2]]], "return -0.50000001", "return 2.0"),
        ("check_str", "Mbpp/745", "return x or None", [["a"], [""]], "return bool(x)", "return True"),
        ("Diff", "Mbpp/769", "return [x, x + 1]", [[1]], "return [x + 1, x]", "return [x]"),
        ("sum_div", "Mbpp/295", "return x", [[5]], "return 0", "return 1"),
    ],
)
def test_where_several_results_are_right(grader, entry, task_id, solution, inputs, right, wrong):
    problem = plus(solution, inputs, [], task_id, entry_point=entry, prompt=f"def {entry}(x):\n", atol=1e-4)
    assert grader.grade(problem, f"def {entry}(x):\n    {right}").passed
    assert grader.grade(problem, f"def {entry}(x):\n    {wrong}").verdict is Verdict.WRONG_ANSWER


def test_base_and_plus_are_told_apart(grader, tmp_path):
    problem = plus("return x * x", [[2], [0]], [[3], [-1]])
    programs = ["def f(x): return x * x", "def f(x): return x + x", "def f(x): return x"]
    grades = grader.grade_batch([(problem, program) for program in programs])
    assert [grade.passed for grade in grades] == [True, False, False]
    samples = [Sample(problem, program, program, Row({"task_id": "HumanEval/900"}, Path(), 0)) for program in programs]
    assert [passed_base(s, g) for s, g in zip(samples, grades, strict=True)] == [True, True, False]
    result = summary(samples, grades, 1.0)
    assert result["pass_at_1"] == pytest.approx(1 / 3)
    assert result["base_pass_at_k"]["1"]["value"] == pytest.approx(2 / 3)
    write_evalplus(samples, grades, tmp_path / "out.json")
    assert '"base_status": "pass", "plus_status": "fail"' in (tmp_path / "out.json").read_text()


CHECKER = """
import numpy as np
def is_floats(x):
    return isinstance(x, float) or (isinstance(x, (list, tuple)) and all(isinstance(i, float) for i in x))
def assertion(out, exp, atol):
    exact_match = out == exp
    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if not exact_match and atol != 0:
        assert np.allclose(out, exp, rtol=1e-07, atol=atol)
    else:
        assert exact_match
def check(candidate):
    for inp, exp in zip([[2.0], [3.0]], [[4.5], [9.25]]):
        assertion(candidate(*inp), exp, 0)
"""


def test_the_checker_that_a_row_brings_along():
    pytest.importorskip("numpy")
    row = {"task_id": "HumanEval/901", "prompt": "", "entry_point": "f", "test": CHECKER, "canonical_solution": ""}
    problem = problem_of(Row(row, Path("x"), 1))
    with CodeGrader(Limits(workers=1, packages=("numpy",))) as grader:
        assert grader.grade(problem, "def f(x): return [4.5 + 1e-9] if x == 2 else [9.25]").passed
        for wrong in ("[]", "()", "__import__('numpy').array([])", "(4.5,) if x == 2 else (9.25,)", "4.5000000001"):
            assert not grader.grade(problem, f"def f(x): return {wrong}").passed, wrong
