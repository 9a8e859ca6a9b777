"""Cells as processes of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from crestfall.core.entry import TRACEBACK
from crestfall.store.files import writing
from crestfall.store.provenance import usable_cpus
from crestfall.testbed.config import resolved
from crestfall.testbed.study import Cell

# Beside torch's own setting (`engine.threads`): libraries that would otherwise start a thread per core in every cell.
_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "0"}
# A cell's log says where an error came from; the study says its last line.
_LOGS = {TRACEBACK: "1"}


class LocalExecutor:
    """Each cell in a fresh process: no state is shared, and a crash stays where it is."""

    def capacity(self) -> int:
        return usable_cpus()

    def start(self, cell: Cell) -> LocalJob:
        return LocalJob(launch(cell.path, cell.log, resolved(cell.config)))


def launch(path: Path, log: Path, options: Mapping[str, Any], cwd: str | None = None) -> subprocess.Popen[bytes]:
    """Start the process of a cell.

    It is the leader of a session of its own, so that Ctrl-C in the terminal reaches the study alone, which then asks
    its cells to stop; it watches its parent and stops by itself after the next step once that is gone.
    """
    with writing(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "crestfall.cli.cell", str(path), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                start_new_session=True,
                env=_THREADS | _LOGS | dict(os.environ),
                cwd=cwd,
            )
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it died at once: its exit code and its log say why
        process.stdin.write(json.dumps(options).encode())
        process.stdin.close()
    return process


class LocalJob:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def poll(self) -> int | None:
        return self._process.poll()

    def ask_to_stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """The whole session: also the programs that it is grading."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
