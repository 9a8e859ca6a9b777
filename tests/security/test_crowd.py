"""Many hostile programs among honest ones, in parallel: every honest one passes, and nothing is left behind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from catalogue import CATALOGUE

from crestfall.core.types import CallCase, CallTests, Problem, Verdict
from crestfall.grading import CodeGrader, Limits

QUICK = [
    source
    for name, (source, verdicts) in CATALOGUE.items()
    if Verdict.TIME_LIMIT not in verdicts and Verdict.MEMORY_LIMIT not in verdicts
]


def children() -> set[str]:
    """Processes below this one, by the kernel's account."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    parents = {}
    for pid in pids:
        try:
            parents[pid] = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    below, grown = {os.getpid()}, True
    while grown:
        new = {pid for pid, parent in parents.items() if parent in below} - below
        below |= new
        grown = bool(new)
    return {str(pid) for pid in below - {os.getpid()}}


def resident_kib(pid: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def crowd(pairs: int, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem("p", "", CallTests("f", (CallCase((2,), 6), CallCase((5,), 15))), "p")
    before, descriptors = children(), len(os.listdir("/proc/self/fd"))
    # A folder of its own: other tests put theirs into /tmp meanwhile.
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("TMPDIR", str(scratch))
    shared = set(os.listdir("/dev/shm"))
    with CodeGrader(Limits(workers=2, cpu_seconds=1, wall_seconds=3, memory_mib=256, output_bytes=1 << 20)) as grader:
        _ = grader.layers
        workers = children() - before
        programs = []
        for i in range(pairs):
            programs.append((problem, f"def f(x): return 3 * x  # {i}"))
            programs.append((problem, f"{QUICK[i % len(QUICK)]}\n# {i}"))
        grades = grader.grade_batch(programs)
        assert all(grade.passed for grade in grades[::2])
        assert not any(grade.passed for grade in grades[1::2])
        assert not any(grade.verdict is Verdict.INFRA for grade in grades)
        assert children() - before == workers, "a program, or a replaced worker, is left running"
        assert max(map(resident_kib, workers)) < 64 << 10
    assert children() == before
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert not os.listdir(scratch)
    assert not {name for name in set(os.listdir("/dev/shm")) - shared if "crestfall" in name}


def test_a_crowd(tmp_path, monkeypatch):
    crowd(120, tmp_path, monkeypatch)


@pytest.mark.slow
def test_a_thousand_and_a_thousand(tmp_path, monkeypatch):
    crowd(1000, tmp_path, monkeypatch)
