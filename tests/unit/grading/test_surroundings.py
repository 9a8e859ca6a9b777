"""What a trainer's own process may be like when it starts a grader: the verdicts are the same, or one line says why
there are none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, resource, signal, sys
out = os.dup(1)
{surroundings}
from crestfall.grading import CodeGrader, Limits
from crestfall.core.errors import GraderError
from crestfall.core.types import CallCase, CallTests, Problem, StdioCase, StdioTests

called = Problem("c", "", CallTests("f", (CallCase((3,), 9),)), "c")
read = Problem("s", "", StdioTests((StdioCase("3\\n", "9\\n"),)), "s")
pairs = [
    (called, "def f(x): return x * x"),
    (read, "print(int(input()) ** 2)"),
    (called, "while True: pass"),
    (called, "import signal, time\\nsignal.setitimer(signal.ITIMER_REAL, .1)\\ntime.sleep(5)"),
    (called, "import tempfile\\ntempfile.TemporaryFile()\\ndef f(x): return x * x"),
]
try:
    with CodeGrader(Limits(workers=1, cpu_seconds=0.3, wall_seconds=1)) as grader:
        has_scratch = "root" in grader.layers
        text = " ".join(grade.verdict.value for grade in grader.grade_batch(pairs[: 4 + has_scratch]))
except GraderError as error:
    text = f"GraderError: {{error}}"
os.write(out, text.encode())
"""
VERDICTS = ["passed", "passed", "time_limit", "runtime_error", "passed"]

SURROUNDINGS = {
    "standard streams closed": "os.close(0), os.close(1), os.close(2)",
    "children are not waited for": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "signals blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    "signals ignored": "[signal.signal(s, signal.SIG_IGN) for s in (1, 3, 13, 14, 15, 17, 24, 25, 26, 27, 40)]",
    "few descriptors": "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 4000))",
    "no more than few descriptors": "resource.setrlimit(resource.RLIMIT_NOFILE, (26, 26))",
    "many descriptors open": "[os.open('/dev/null', 0) for _ in range(400)]",
    "a strict umask": "os.umask(0o777)",
    "a folder that is gone": "import tempfile\nwith tempfile.TemporaryDirectory() as d: os.chdir(d)",
    "no core files, little stack": "resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))",
}


def run(surroundings: str, **options: object) -> str:
    script = SCRIPT.format(surroundings=surroundings)
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ.get("PATH", "")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, **options)
    return done.stdout or done.stderr


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_verdicts_do_not_depend_on_them(name):
    verdicts = run(SURROUNDINGS[name]).split()
    assert verdicts == VERDICTS[: len(verdicts)]
    assert len(verdicts) >= 4


@pytest.mark.parametrize(
    ("surroundings", "line"),
    [
        ("resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))", "ulimit -f"),
        ("import crestfall.grading\nresource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))", "Too many open files"),
    ],
)
def test_what_cannot_be_helped_is_said_in_one_line(surroundings, line):
    said = run(surroundings)
    assert said.startswith("GraderError: ")
    assert line in said
    assert "\n" not in said


def test_a_trainer_that_is_killed_leaves_nothing():
    """Its worker is at a program that has asked not to be told of its parent's death."""
    program = "import ctypes, time\nctypes.CDLL(None).prctl(1, 0)\nprint(flush=True)\ntime.sleep(60)"
    script = (
        "import sys\nfrom crestfall.grading import CodeGrader, Limits\n"
        "from crestfall.core.types import CallCase, CallTests, Problem\n"
        "grader = CodeGrader(Limits(workers=1, without=tuple(sys.argv[1:])))\n"
        "grader.layers\nprint(grader._running._workers[0]._process.pid, flush=True)\n"
        f"grader.grade(Problem('p', '', CallTests('f', (CallCase((1,), 1),)), 'p'), {program!r})"
    )
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    for without in ((), ("namespaces",)):
        command = [sys.executable, "-c", script, *without]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as trainer:
            assert trainer.stdout is not None
            session = int(trainer.stdout.readline())
            trainer.send_signal(signal.SIGKILL)
        listing = ["ps", "-o", "pid=,stat=", "--sid", str(session)]
        for _ in range(100):
            left = subprocess.run(listing, capture_output=True, text=True, check=False).stdout
            if not [line for line in left.splitlines() if "Z" not in line]:
                break
            subprocess.run(["sleep", "0.1"], check=True)
        else:
            pytest.fail(f"left running: {left}")
