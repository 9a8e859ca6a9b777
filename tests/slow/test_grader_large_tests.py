"""A benchmark of LiveCodeBench's shape is graded in the memory of a few of its problems, on both sides."""

from __future__ import annotations

import base64
import json
import pickle
import resource
import subprocess
import sys
import zlib

import pytest

from crestfall.core.types import Problem, StdioCase, StdioTests
from crestfall.grading import CodeGrader, Limits

MANY, SIZE = 60, 12 << 20


@pytest.mark.slow
def test_workers_let_tests_go():
    """60 problems with 12 MB of tests each: 720 MB, of which a worker keeps a third."""
    with CodeGrader(Limits(workers=1)) as grader:
        for i in range(MANY):
            text = f"{i}\n" * (SIZE // len(f"{i}\n"))
            case = StdioCase(text, f"{len(text)}\n")
            problem = Problem(str(i), "", StdioTests((case,)), str(i))
            assert grader.grade(problem, "import sys\nprint(len(sys.stdin.read()))\n").passed
            grader.forget_tests()
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024 < 600


@pytest.mark.slow
def test_packed_tests_are_streamed(tmp_path):
    """Rows whose packed tests unpack to 8 MB, as LiveCodeBench's do; graded in less than the file unpacks to."""
    tests = [{"input": "1\n" * 1_000_000, "output": "1\n", "testtype": "stdin"}] * 4
    row = {"question_content": "q", "public_test_cases": "[]", "metadata": "{}",
           "private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()}  # fmt: skip
    with (tmp_path / "p.jsonl").open("w") as problems, (tmp_path / "s.jsonl").open("w") as samples:
        for i in range(100):
            problems.write(json.dumps(row | {"question_id": f"q{i}"}) + "\n")
            samples.write(json.dumps({"question_id": f"q{i}", "code_list": ["print(input())\n"]}) + "\n")
    script = (
        "import resource, sys\nfrom crestfall.cli.main import main\ncode = main(sys.argv[1:])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, code)\n"
    )
    words = ["grade", "--problems", "p.jsonl", "--samples", "s.jsonl", "--workers", "2"]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, cwd=tmp_path)
    assert "100 of 100 passed" in done.stdout, done.stdout + done.stderr
    mib, code = map(int, done.stdout.split()[-2:])
    assert (code, mib < 700) == (0, True), mib
