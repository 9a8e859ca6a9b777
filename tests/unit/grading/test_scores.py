"""What cannot be graded never raises a score."""

from __future__ import annotations

from pathlib import Path

import pytest

from crestfall.core.types import CallCase, CallTests, Grade, Problem, Verdict
from crestfall.grading.results import summary
from crestfall.grading.samples import Sample
from crestfall.store.rows import Row

PROBLEM = Problem("p", "", CallTests("f", (CallCase((1,), 1),)), "p")


def test_infra_counts_as_failed_and_is_told():
    grades = [Grade(Verdict.PASSED)] * 3 + [Grade(Verdict.INFRA)] * 7
    samples = [Sample(PROBLEM, "", "", Row({"task_id": "p"}, Path(), i)) for i in range(10)]
    result = summary(samples, grades, 1.0)
    assert result["pass_at_1"] == pytest.approx(0.3)
    assert result["infra"] == 7
