"""What judges is confined too, and nothing of one program reaches the next."""

from __future__ import annotations

import os
import time
import warnings

import pytest

from crestfall.core.types import CallCase, CallTests, CodeTests, Problem, Verdict
from crestfall.grading import CodeGrader, Limits

HONEST = "def f(x): return f'answer-{x * 7919 + 104729}'"

# (test code, program, verdicts): the program hands over little, and the tests make much of it.
BLOWN_UP = {
    "tuple of a range": ("assert tuple(f()) == (1,)", "def f(): return range(3 * 10**8)"),
    "sum of a range": ("assert sum(f()) == 1", "def f(): return range(10**13)"),
    "sorted range": ("assert sorted(f()) == [1]", "def f(): return range(3 * 10**8)"),
    "long text": ("assert 'x' * f() == 'x'", "def f(): return 10**11"),
    "power": ("assert 3 ** f() == 9", "def f(): return 10**9"),
    "colliding hashes": ("assert set(f()) == {1}", "def f(): return [k * (2**61 - 1) for k in range(1, 30000)]"),
    "swallowed": (
        "try:\n    x = list(f())\nexcept:\n    x = [sum(f())]\nassert x == [1]",
        "def f(): return range(10**13)",
    ),
}


@pytest.fixture(scope="module")
def judged():
    """Comparing is the same in every layer mode."""
    with CodeGrader(Limits(workers=1, cpu_seconds=0.4, wall_seconds=0.75, memory_mib=256)) as judged:
        yield judged


@pytest.mark.parametrize("name", BLOWN_UP)
def test_comparing_has_limits(judged, secret, name):
    tests, program = BLOWN_UP[name]
    start = time.monotonic()
    grade = judged.grade(Problem("t", "", CodeTests(tests), "t"), program)
    assert grade.verdict in (Verdict.TIME_LIMIT, Verdict.MEMORY_LIMIT), grade
    assert time.monotonic() - start < 60
    assert judged.grade(secret, f"{HONEST}  # after {name!r}").passed


TEMPORARY = "import tempfile\nwith tempfile.TemporaryFile() as file: file.write(b'x')\n"
PRINTS = "import sys\nprint('out', flush=True)\nprint('err', file=sys.stderr, flush=True)\n"
LEAVES = {
    "an offset": "os.lseek(1, 1 << 40, 0)",
    "another offset": "os.lseek(2, (1 << 20) - 4, 0)",
    "a flag": "import fcntl\nfcntl.fcntl(1, fcntl.F_SETFL, os.O_APPEND | os.O_NONBLOCK)",
    "an offset of the input": "os.lseek(0, 1 << 30, 0)",
    "a mode": "os.chmod('.', 0o555)",
    "a mode above": "os.chmod('..', 0o777)",
    "a full folder": "open('a', 'wb').write(bytes(1 << 20))",
    "a locked null device": "import fcntl\nfcntl.flock(os.open(os.devnull, os.O_RDWR), fcntl.LOCK_EX)",
    "a time": "os.utime('.', (1, 1))",
}
LOOKS = """
import fcntl, os
def f(x):
    seen = [(fcntl.fcntl(fd, fcntl.F_GETFL), os.lseek(fd, 0, 1), os.fstat(fd).st_size) for fd in range(3)]
    here = os.stat('.')
    fcntl.flock(os.open(os.devnull, os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
    try: names = os.listdir('.') if 'scratch' in os.getcwd() else []
    except OSError: names = 'refused'
    return repr((seen, oct(here.st_mode), here.st_mtime > 10, names))
"""


@pytest.mark.parametrize("name", LEAVES)
def test_nothing_is_left_for_the_next(grader, secret, name):
    before = grader.grade(secret, f"{LOOKS}# before {name}").detail
    grader.grade(
        secret, f"import os\ntry:\n    {LEAVES[name].replace(chr(10), chr(10) + '    ')}\nexcept OSError: pass\n"
    )
    assert grader.grade(secret, f"{LOOKS}# after {name}").detail == before
    prints = PRINTS + (TEMPORARY if "root" in grader.layers else "") + HONEST
    assert grader.grade(secret, f"{prints}  # after {name}").passed


def test_a_crash_hits_no_innocents(grader, secret):
    bad = "import os\nos.kill(os.getpid(), 40)"
    pairs = [(secret, f"{HONEST}  # {i}" if i % 5 else f"{bad}  # {i}") for i in range(60)]
    grades = grader.grade_batch(pairs)
    assert [grade.passed for grade in grades] == [bool(i % 5) for i in range(60)]


SCAN = """
import os, re
found, opened = [], []
for pid in [os.getppid()] + [int(p) for p in os.listdir('/proc') if p.isdigit()]:
    try:
        if os.getsid(pid) != os.getsid(0) or pid == os.getpid(): continue  # another grader's
        open(f'/proc/{pid}/mem', 'rb')
        opened.append(pid)
    except OSError: pass
def f(x): return opened
"""


def test_the_memory_of_the_grader_is_closed_without_any_layer(secret):
    """Even where programs see all processes and all files."""
    without = ("namespaces", "root", "landlock", "uid")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with CodeGrader(Limits(workers=1, without=without)) as open_grader:
            detail = open_grader.grade(secret, SCAN).detail
    assert "gave []" in detail, detail
    assert any("can read this machine's files" in str(warning.message) for warning in said)


def test_a_program_that_kills_the_grader_each_time_is_to_blame(secret):
    """Should there be a way that nobody knows of: it is the program's, and no other's."""
    with CodeGrader(Limits(workers=1)) as grader:
        assert grader.layers

        def kill(worker, send):
            def submit(batch):
                send(batch)
                if any("kill me" in source for *_, source in batch):
                    os.kill(worker._process.pid, 9)

            return submit

        dispatcher = grader._running
        original = dispatcher._start_workers

        def start():
            original()
            for worker in dispatcher._workers:
                if not hasattr(worker, "patched"):
                    worker.patched, worker.submit = True, kill(worker, worker.submit)

        dispatcher._start_workers = start
        pairs = [(secret, f"{HONEST}  # {i}" if i != 3 else "while True: pass  # kill me") for i in range(8)]
        grades = grader.grade_batch(pairs)
        assert [grade.passed for grade in grades] == [i != 3 for i in range(8)]
        assert grades[3].verdict is Verdict.VIOLATION


def test_an_expected_int_beyond_all_floats():
    huge = Problem("t", "", CallTests("f", (CallCase((1,), 10**400),), "json", 1e-6), "t")
    with CodeGrader(Limits(workers=1)) as grader:
        assert grader.grade(huge, "def f(x): return 10**400").passed
        for wrong in ("float('inf')", "1.5", "-10**400", "float('nan')"):
            assert grader.grade(huge, f"def f(x): return {wrong}").verdict is Verdict.WRONG_ANSWER
