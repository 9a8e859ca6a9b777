"""Ctrl-C reaches every process of a terminal's foreground group; workers are not in it."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, signal
from crestfall.grading import CodeGrader, Limits
from crestfall.core.types import CallCase, CallTests, Problem

signal.signal(signal.SIGINT, lambda *_: None)
problem = Problem("p", "", CallTests("f", (CallCase((2,), 6),)), "p")
with CodeGrader(Limits(workers=1)) as grader:
    layers = grader.layers
    before = grader._running._workers[0]
    os.killpg(0, signal.SIGINT)
    assert grader.grade(problem, "def f(x): return 3 * x").passed
    assert grader._running._workers[0] is before, "the worker was replaced"
"""


def test_workers_outlive_an_interrupt():
    done = subprocess.run([sys.executable, "-c", SCRIPT], start_new_session=True, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
