"""The sentences: references pass their own tests, meanings are told apart, names say nothing."""

from __future__ import annotations

import re

from crestfall.grading import CodeGrader
from crestfall.testbed.tasks.base import Sizes
from crestfall.testbed.tasks.sentences import FAMILIES, UNSEEN, Sentences, problems

SIZES = Sizes(48, 24, 24)


def test_every_reference_passes_its_own_tests_and_no_constant_does() -> None:
    known = [problem for problem in problems(FAMILIES) if problem.task_id.endswith(("-2", "-5", "-11"))]
    with CodeGrader() as grader:
        assert all(grade.passed for grade in grader.grade_batch([(p, p.reference) for p in known]))
        lazy = [(p, re.sub(r"return .*", f"return {arg}", p.reference)) for p in known for arg in ("0", "True", "[]")]
        assert not any(grade.passed for grade in grader.grade_batch(lazy))


def test_all_functions_are_called_f_and_say_what_they_return() -> None:
    for problem in problems(FAMILIES):
        assert re.fullmatch(r'def f\((x|xs|s)\):\n    """Return .+\."""\n', problem.prompt)


def test_one_problem_of_each_meaning_over_all_pools() -> None:
    source = Sentences()
    sets = source.campaign(1, 0, SIZES)
    answers = [
        repr((p.prompt[:8], [case.expected for case in p.tests.cases]))
        for p in (*sets.train, *sets.select, *sets.report, *source.final(100))
    ]
    assert len(set(answers)) == len(answers)


def test_unseen_families_are_in_no_pool() -> None:
    def family(problem):
        return re.sub(r"\d+", "k", problem.prompt)

    source = Sentences()
    trained = {family(p) for p in source.campaign(0, 0, Sizes(190, 60, 60)).train} | {
        family(p) for p in source.final(150)
    }
    unseen = {family(p) for p in source.unseen(0, 60)}
    assert len(unseen) == len(FAMILIES[::UNSEEN])
    assert not unseen & trained


def test_what_is_printed_counts_as_computed() -> None:
    problem = next(problems(FAMILIES[:1]))
    printing = Sentences().any_convention(problem, problem.stub + "    print(x + 2)\n")
    assert printing is not None
    with CodeGrader() as grader:
        assert [grade.passed for grade in grader.grade_batch([(problem, printing)])] == [True]
