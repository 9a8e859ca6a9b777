"""Every hostile program gets the verdict that it is owed, and an honest one beside it still passes."""

from __future__ import annotations

import pytest
from catalogue import CATALOGUE

HONEST = "def f(x): return f'answer-{x * 7919 + 104729}'"


@pytest.mark.parametrize("name", CATALOGUE)
def test_hostile_program(grader, secret, name):
    source, verdicts = CATALOGUE[name]
    grade = grader.grade(secret, source)
    assert grade.verdict in verdicts, grade
    assert grade.detail.isprintable()
    assert len(grade.detail) <= 240
    assert grader.grade(secret, f"{HONEST}  # after {name!r}").passed
