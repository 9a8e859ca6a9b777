"""A program of standard input and output runs as under `python main.py < in`."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ordinary_programs import PROGRAMS, WITH_SCRATCH

from crestfall.core.types import Problem, StdioCase, StdioTests, Verdict
from crestfall.grading import CodeGrader, Limits

SUM = Problem("t", "", StdioTests((StdioCase("3\n4\n", "7\n"),)), "t")
WITHOUT = {"all layers": (), "no namespaces": ("namespaces",), "no landlock": ("landlock",)}


@pytest.fixture(
    scope="module", params=["all layers", *(pytest.param(name, marks=pytest.mark.slow) for name in list(WITHOUT)[1:])]
)
def grader(request):
    limits = Limits(workers=1, cpu_seconds=2, wall_seconds=3, keep_output=1000, without=WITHOUT[request.param])
    with CodeGrader(limits) as grader:
        yield grader


@pytest.mark.parametrize("name", PROGRAMS)
def test_ordinary_programs_pass(grader, name):
    grade = grader.grade(SUM, PROGRAMS[name])
    assert grade.passed, (grade.detail, grade.stderr)


@pytest.mark.parametrize("name", WITH_SCRATCH)
def test_programs_that_write_files_pass(grader, name):
    if not {"root", "landlock"} & grader.layers.keys():
        pytest.skip("no folder to write to")
    if name == "/tmp" and "root" not in grader.layers:
        pytest.skip("/tmp is the machine's own")
    grade = grader.grade(SUM, WITH_SCRATCH[name])
    assert grade.passed, (grade.detail, grade.stderr)


@pytest.mark.parametrize("start", ["subprocess.run(['echo', '7'])", "os.popen('echo 7').read()"])
def test_starting_another_program_is_named(grader, start):
    grade = grader.grade(SUM, f"import os, subprocess\nprint({start})")
    assert grade.verdict is Verdict.VIOLATION
    assert "this sandbox starts no other programs" in grade.detail


def test_every_program_has_random_numbers_of_its_own(grader):
    source = "import random, sys\nprint(int(input()) + int(input()))\nprint(random.random(), file=sys.stderr)"
    drawn = {grader.grade(SUM, f"{source}  # {i}").stderr for i in range(5)}
    assert len(drawn) == 5


def test_threads_work_after_the_fork(grader):
    source = """import os, threading
assert threading.main_thread() is threading.current_thread() and threading.enumerate() == [threading.main_thread()]
out = []
thread = threading.Thread(target=lambda: out.append(int(input()) + int(input())))
thread.start()
thread.join()
print(*out)"""
    grade = grader.grade(SUM, source)
    assert grade.passed, grade.stderr


def test_a_warning_of_the_compiler_is_on_stderr(grader):
    grade = grader.grade(SUM, "x = int(input())\nprint(x + int(input()) if x is not 5.5 else 0)")
    assert grade.passed
    assert 'SyntaxWarning: "is not" with a literal' in grade.stderr


OTHERWISE = {
    "prompt": ("print(int(input('a? ')) + int(input('b? ')))", Verdict.WRONG_ANSWER),
    "exit code": ("import sys\nprint(int(input()) + int(input()))\nsys.exit(1)", Verdict.RUNTIME_ERROR),
    "exit message": ("import sys\nprint(int(input()) + int(input()))\nsys.exit('bad')", Verdict.RUNTIME_ERROR),
    "exception at the end": ("print(int(input()) + int(input()))\n1 / 0", Verdict.RUNTIME_ERROR),
    "epoll of a file": (
        "import selectors, sys\nselectors.DefaultSelector().register(sys.stdin, 1)\nprint(int(input()) + int(input()))",
        Verdict.RUNTIME_ERROR,
    ),
    "reads too much": ("a, b, c = (int(input()) for _ in range(3))\nprint(a + b)", Verdict.RUNTIME_ERROR),
    "answer on stderr": ("import sys\nprint(int(input()) + int(input()), file=sys.stderr)", Verdict.WRONG_ANSWER),
    "unflushed": ("import os\nprint(int(input()) + int(input()))\nos._exit(0)", Verdict.WRONG_ANSWER),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_python_does_not_accept_fails(grader, name):
    source, verdict = OTHERWISE[name]
    assert grader.grade(SUM, source).verdict is verdict


@pytest.mark.parametrize("name", OTHERWISE)
def test_python_does_not_accept_it(name, tmp_path):
    source, _ = OTHERWISE[name]
    (tmp_path / "main.py").write_text(source)
    (tmp_path / "in").write_text("3\n4\n")
    with open(tmp_path / "in") as stdin:
        command = [sys.executable, "-I", "-S", "main.py"]
        python = subprocess.run(command, stdin=stdin, cwd=tmp_path, capture_output=True, text=True)
    assert (python.returncode, python.stdout.strip()) != (0, "7")


def test_what_is_printed_is_kept(grader):
    grade = grader.grade(SUM, "import sys\nprint('out')\nprint('err', file=sys.stderr)\ndef f(): return {}['k']\nf()")
    assert grade.stdout == "out\n"
    assert grade.stderr.startswith("err\nTraceback (most recent call last):\n")
    assert "line 4, in f" in grade.stderr
    assert grade.stderr.endswith("KeyError: 'k'\n")
    assert "sandbox" not in grade.stderr


def test_a_line_end_of_dos_stays_in_the_input(grader):
    problem = Problem("t", "", StdioTests((StdioCase("a\r\n", "3\n"),)), "t")
    assert grader.grade(problem, "import sys\nprint(len(sys.stdin.readline()))").passed
