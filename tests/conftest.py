from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

HERE = str(Path(__file__).parent)
# Subprocesses that a test starts must find `fakes`, too.
os.environ["PYTHONPATH"] = os.pathsep.join([HERE, *filter(None, [os.environ.get("PYTHONPATH")])])
if HERE not in sys.path:
    sys.path.insert(0, HERE)

# Machines are shared and noisy: a deadline would fail the neighbour, not the code.
settings.register_profile("crestfall", deadline=None)
settings.load_profile("crestfall")

# Only a power cut shows whether a file had reached the disk; waiting for it was a quarter of the suite.
os.fsync = lambda handle: None


def pytest_collection_finish() -> None:
    """Take what was imported until now out of the collector's sight: trainers call `gc.collect()`, half a second each
    time over the libraries of the whole suite."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a tmpfs")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)
