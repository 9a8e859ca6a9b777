"""A program's folder: new for each, bounded, and gone with the grader; with a file system of its own and without."""

from __future__ import annotations

import glob
import os
import signal
import subprocess
import sys
import time

import pytest

from crestfall.core.types import Problem, StdioCase, StdioTests, Verdict
from crestfall.grading import CodeGrader, Limits

SEVEN = Problem("t", "", StdioTests((StdioCase("", "7\n"),)), "t")
WITHOUT = {"root": (), "no namespaces": ("namespaces",), "no root": ("root",)}
FRESH = """import os
at = os.stat('.')
assert not os.listdir('.') and at.st_mtime < 1 and at.st_mode & 0o777 == 0o700
print(7)"""


@pytest.fixture(scope="module", params=WITHOUT)
def grader(request):
    limits = Limits(workers=1, cpu_seconds=2, wall_seconds=4, without=WITHOUT[request.param])
    with CodeGrader(limits) as grader:
        if not {"root", "landlock"} & grader.layers.keys():
            pytest.skip("no folder to write to")
        yield grader


LEAVING = {
    "a file": "open('out.txt', 'w').write('x')",
    "deep folders": "import os\nos.makedirs('a/' * 60)\nopen('a/x', 'w').write('x')\nos.mkdir('b', 0)\n"
    "try:\n    os.chmod('a', 0)\n    os.chmod('.', 0)\nexcept PermissionError: pass",
    "times": "import os\ntry: os.utime('.', (12345, 67890))\nexcept PermissionError: pass",
    "a link": "import os\nos.symlink('/etc', 'etc')",
    "a temporary file": "import tempfile\ntempfile.NamedTemporaryFile(delete=False).write(b'x')",
}


@pytest.mark.parametrize("name", LEAVING)
def test_the_next_program_finds_a_new_one(grader, name):
    left = grader.grade(SEVEN, LEAVING[name] + "\nprint(7)")
    assert left.passed, left
    fresh = grader.grade(SEVEN, f"{FRESH}  # {name}")
    assert fresh.passed, fresh


@pytest.mark.parametrize("name", ["../beside", "/tmp/../beside", "/var/tmp/beside", "/dev/shm/beside"])
def test_nothing_is_written_outside(grader, name):
    grade = grader.grade(SEVEN, f"open({name!r}, 'w').write('x')\nprint(7)")
    assert grade.verdict is Verdict.RUNTIME_ERROR


CHANGING = [
    "os.chmod(own, 0o644)",
    "os.utime(own)",
    "os.fchmod(os.open(own, os.O_RDONLY), 0o644)",
    "os.truncate(own, 1 << 40)",
]
CHANGING += ["fcntl.ioctl(os.open(own, os.O_RDONLY), 0x40086602, bytes(8))", "os.rename(own, 'x')", "os.link(own, 'x')"]


@pytest.mark.parametrize("change", CHANGING)
def test_no_file_outside_is_changed(grader, change, tmp_path):
    """On a file of this test's, which a program may not even see, and on one of Python's with what changes nothing."""
    import this

    source = "import fcntl, os\nown = {!r}\ntry:\n    {}\nexcept OSError:\n    pass\nprint(7)"
    harmless = [] if "truncate" in change or "rename" in change else [this.__file__]
    own = tmp_path / "own"
    own.write_text("x")
    own.chmod(0o600)
    for path in [str(own), *harmless]:
        before = os.stat(path)
        assert grader.grade(SEVEN, source.format(path, change)).passed
        after = os.stat(path)
        for what in ("st_mode", "st_mtime_ns", "st_ctime_ns", "st_size", "st_nlink"):
            assert getattr(before, what) == getattr(after, what), what


FILLING = {
    "many files": "for i in range(40):\n    open(f'f{i}', 'wb').write(b'x' * (1 << 20))",
    "files held open": "fs = [open(f'f{i}', 'wb') for i in range(60)]\n"
    "for f in fs:\n    f.write(b'x' * (7 << 20)); f.flush()",
    "one after another": "for i in range(3000):\n    open(f'f{i}', 'w')",
}


@pytest.mark.parametrize("name", FILLING)
def test_it_is_bounded(grader, name):
    grade = grader.grade(SEVEN, FILLING[name] + "\nprint(7)")
    assert grade.verdict in (Verdict.OUTPUT_LIMIT, Verdict.RUNTIME_ERROR), grade
    assert grader.grade(SEVEN, f"{FRESH}  # {name}").passed


TRAINER = """
from crestfall.core.types import Problem, StdioCase, StdioTests
from crestfall.grading import CodeGrader, Limits
grader = CodeGrader(Limits(workers=1, without=("namespaces",)))
problem = Problem("t", "", StdioTests((StdioCase("", ""),)), "t")
print(grader.layers.get("landlock", ""), flush=True)
grader.grade(problem, "import os, time\\nopen('x', 'w').write('x')\\nprint(os.getcwd(), flush=True)\\ntime.sleep(60)")
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_is_gone_with_the_trainer(how):
    with subprocess.Popen([sys.executable, "-c", TRAINER], stdout=subprocess.PIPE, text=True) as trainer:
        layer = trainer.stdout.readline()
        if "below" not in layer:
            trainer.kill()
            pytest.skip("no folder to write to")
        folder = layer.split("below ")[1].split()[0]
        end = time.monotonic() + 20
        while not os.listdir(folder) and time.monotonic() < end:
            time.sleep(0.05)
        assert os.listdir(folder) == ["x"]
        trainer.send_signal(how)
    while os.path.lexists(folder) and time.monotonic() < end + 20:
        time.sleep(0.05)
    assert not glob.glob(folder)
