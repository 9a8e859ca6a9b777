"""100,000 grades, mixed as a training run mixes them, leave grader and workers as large as 20,000 do."""

from __future__ import annotations

import os
import random

import pytest

from crestfall.core.types import CallCase, CallTests, Problem
from crestfall.grading import CodeGrader, Limits, jobs

GRADES, STEP = 100_000, 500
# Per step: distinct programs that run (6,000 forks in all) and that do not parse; the rest repeats these.
RUNNING, BROKEN = 30, 120
KIB = os.sysconf("SC_PAGE_SIZE") >> 10


def resident_kib(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * KIB


def processes() -> list[int]:
    """This one and all below it: workers and their zygotes."""
    found, queue = [], [os.getpid()]
    while queue:
        pid = queue.pop()
        found.append(pid)
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            queue += map(int, file.read().split())
    return sorted(found)


def step(number: int, random_: random.Random) -> list[str]:
    programs = [f"def f(x): return x * {i % 7}  # {number} {i}" for i in range(RUNNING)]
    programs += [f"def f(x: return {number} + {i}" for i in range(BROKEN)]
    programs += random_.choices(programs, k=STEP - len(programs))
    random_.shuffle(programs)
    return programs


@pytest.mark.slow
def test_memory_is_flat(monkeypatch, capsys):
    monkeypatch.setattr(jobs, "CACHE_SIZE", 2000)  # full long before the first look: what still grows is a leak
    random_ = random.Random(0)
    problems = [Problem(f"p{i}", "", CallTests("f", (CallCase((i,), 3 * i),)), "p") for i in range(1, 40)]
    sizes: list[dict[int, int]] = []
    with CodeGrader(Limits(workers=2)) as code_grader:
        for number in range(GRADES // STEP):
            problem = problems[number % len(problems)]
            grades = code_grader.grade_batch([(problem, program) for program in step(number, random_)])
            assert any(grade.passed for grade in grades)
            if number + 1 in (GRADES // STEP // 5, GRADES // STEP):
                sizes.append({pid: resident_kib(pid) for pid in processes()})
        statistics = code_grader.statistics
    first, last = sizes
    with capsys.disabled():
        print(f"\nKiB at 20%: {list(first.values())}, at 100%: {list(last.values())}; {statistics}")
    assert first.keys() == last.keys(), "a worker was replaced"
    assert statistics.graded == GRADES
    assert statistics.infra == 0
    for pid, kib in last.items():
        assert kib - first[pid] < 4 << 10
