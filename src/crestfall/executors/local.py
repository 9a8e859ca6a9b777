"""Cells as processes of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

from crestfall.config import resolved
from crestfall.io.files import writing
from crestfall.study import Cell

# Beside torch's own setting (`engine.threads`): libraries that would otherwise start a thread per core in every cell.
_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "0"}


class LocalExecutor:
    """Each cell in a fresh process: no state is shared, and a crash stays where it is.

    A cell is the leader of a session of its own, so that Ctrl-C in the terminal reaches the study alone, which then
    asks its cells to stop; it watches its parent and stops by itself after the next step once that is gone.
    """

    def start(self, cell: Cell) -> LocalJob:
        with writing(cell.log):
            cell.log.parent.mkdir(parents=True, exist_ok=True)
            with cell.log.open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "crestfall.cli.cell", str(cell.path), str(os.getpid())],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env=_THREADS | dict(os.environ),
                )
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it died at once: its exit code and its log say why
            process.stdin.write(json.dumps(resolved(cell.config)).encode())
            process.stdin.close()
        return LocalJob(process)


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
