"""Audit of a set of tests before a model is trained on it: the wrong programs that pass.

References that fail their own tests, mutants of references that pass them, and tests that no mutant fails, per problem.
A mutant that passes is a wrong program that would be rewarded, or one that computes the same as the reference: which of
the two, a person has to look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from crestfall.core.types import Grade, Problem, Verdict
from crestfall.grading.grader import CodeGrader
from crestfall.grading.mutants import Mutant, mutants_of


@dataclass(frozen=True)
class Audited:
    """One problem's tests. `blind`: tests that no mutant failed, by number from 1; `tests`: how many there are, None
    where it is not known."""

    task_id: str
    reference: Grade | None
    mutants: int
    passing: tuple[Mutant, ...]
    tests: int | None
    blind: tuple[int, ...]

    def row(self) -> dict[str, Any]:
        """Fields of the row for JSON."""
        reference = self.reference
        return {
            "task_id": self.task_id,
            "reference": None if reference is None else reference.verdict.value,
            "detail": "" if reference is None else reference.detail,
            "mutants": self.mutants,
            "passing_mutants": [{"line": m.line, "change": m.change, "program": m.program} for m in self.passing],
            "tests": self.tests,
            "tests_that_no_mutant_fails": list(self.blind),
        }


def audit(grader: CodeGrader, problems: Iterable[Problem], mutants: int) -> Iterator[Audited]:
    """Audit the problems one after the other.

    Args:
        grader: with `Limits(every_test=True)`, to tell tests apart.
        mutants: at most so many per problem.
    """
    for problem in problems:
        yield _audited(grader, problem, mutants)
        grader.forget_tests()


def _audited(grader: CodeGrader, problem: Problem, most: int) -> Audited:
    if problem.reference is None:
        return Audited(problem.task_id, None, 0, (), None, ())
    changed = mutants_of(problem.reference, most)
    reference, *grades = grader.grade_batch([(problem, p) for p in (problem.reference, *(m.program for m in changed))])
    if not reference.passed:
        return Audited(problem.task_id, reference, 0, (), None, ())
    told = [(m, g) for m, g in zip(changed, grades, strict=True) if not g.ungraded and g.verdict is not Verdict.NO_CODE]
    passing = tuple(mutant for mutant, grade in told if grade.passed)
    total = _tests(problem, [grade for _, grade in told])
    failed = {number for _, grade in told for test in grade.tests if (number := _number(test.name)) is not None}
    blind = tuple(i for i in range(1, (total or 0) + 1) if i not in failed) if told else ()
    return Audited(problem.task_id, reference, len(told), passing, total, blind)


def _tests(problem: Problem, grades: list[Grade]) -> int | None:
    """Number of tests: the cases or, for test code, the number that the shares of passed tests imply."""
    cases = getattr(problem.tests, "cases", None)
    if cases is not None:
        return len(cases)
    counts = [round(len(g.tests) / (1 - g.passed_share)) for g in grades if g.passed_share not in (None, 1.0)]
    return max(counts, default=None)


def _number(name: str) -> int | None:
    """The 3 of `case 3` and of `assertion 3 (line 7)`."""
    words = name.split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else None


def summary_of(audited: Iterable[Audited]) -> dict[str, Any]:
    """Counts over all problems."""
    rows = list(audited)
    mutants, passing = sum(a.mutants for a in rows), sum(len(a.passing) for a in rows)
    return {
        "problems": len(rows),
        "without_reference": sum(a.reference is None for a in rows),
        "references_that_fail": [a.task_id for a in rows if a.reference is not None and not a.reference.passed],
        "mutants": mutants,
        "passing_mutants": passing,
        "killed": 1 - passing / mutants if mutants else None,
        "problems_with_passing_mutants": [a.task_id for a in rows if a.passing],
        "tests": sum(a.tests or 0 for a in rows),
        "tests_that_no_mutant_fails": sum(len(a.blind) for a in rows),
    }
