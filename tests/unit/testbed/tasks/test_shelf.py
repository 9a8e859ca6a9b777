"""Large tests of a task source lie on the disk, and are there whenever somebody looks at them."""

from __future__ import annotations

import json
import pickle

import pytest

from crestfall.core.build import component
from crestfall.core.types import CodeTests, Problem, StdioCase, StdioTests
from crestfall.grading import CodeGrader, Limits
from crestfall.testbed.tasks import shelf
from crestfall.testbed.tasks.base import Sizes
from crestfall.testbed.tasks.shelf import LARGE, Shelf, Shelved

SIZES = Sizes(train=5, select=2, report=2)


def row(number: int) -> dict[str, object]:
    tests = [{"input": f"{number}\n" * LARGE, "output": f"{number + i}\n", "testtype": "stdin"} for i in range(2)]
    text = f"Problem {number} of this test"
    return {"question_id": f"q{number}", "question_content": text, "public_test_cases": json.dumps(tests)}


@pytest.fixture
def campaign(tmp_path):
    """A campaign of a file of its own, so that nothing was read before."""
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps(row(number)) + "\n" for number in range(40)))
    return lambda: component("tasks", {"name": "livecodebench", "path": str(path)}).campaign(0, 0, SIZES)


def test_large_tests_are_shelved_and_nothing_else_changes(campaign, monkeypatch, tmp_path):
    shelved = campaign()
    assert all(type(problem.tests.cases) is Shelved for problem in shelved.train)
    monkeypatch.setattr(shelf, "LARGE", 1 << 30)
    (tmp_path / "problems.jsonl").rename(tmp_path / "same.jsonl")
    held = component("tasks", {"name": "livecodebench", "path": str(tmp_path / "same.jsonl")}).campaign(0, 0, SIZES)
    for a, b in zip(shelved.train, held.train, strict=True):
        assert (a.task_id, a.key, tuple(a.tests.cases), len(a.tests.cases)) == (b.task_id, b.key, b.tests.cases, 2)
    again = pickle.loads(pickle.dumps(shelved.train[0]))
    assert again == held.train[0]


def test_they_are_graded():
    problem = Problem("p", "", StdioTests((StdioCase("1\n" * LARGE, f"{LARGE}\n"),)), "p")
    small = Problem("s", "", CodeTests("x = 1\n" * LARGE), "s")
    one = Shelf()
    assert one.put(small) is small
    with CodeGrader(Limits(workers=1)) as grader:
        assert grader.grade(one.put(problem), "import sys\nprint(len(sys.stdin.read().split()))").passed
        assert not grader.grade(one.put(problem), "print(1)").passed
