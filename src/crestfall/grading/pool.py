"""Worker processes as the trainer's side sees them: started by exec (never a fork of the trainer), fed, listened to,
replaced."""

from __future__ import annotations

import fcntl
import json
import marshal
import os
import socket
import subprocess
import sys
import sysconfig
import time
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crestfall.core.errors import GraderError
from crestfall.grading.limits import Limits
from crestfall.grading.plans import Plan

SANDBOX = Path(__file__).parent / "sandbox" / "__main__.py"
SOURCE = Path(__file__).parents[2]
MAX_PLANS = 256
MAX_PLAN_BYTES = 256 << 20
"""Bytes of tests that a worker keeps; a single problem may exceed them."""
START_SECONDS = 60.0
PROCESSES = "ulimit -u, or the container's limit of processes"

# All that a worker sees of the environment. A fixed hash seed makes the order of sets, and so verdicts, the same on
# every worker. One malloc arena: each further one reserves address space, of which a program with threads has no more.
# Symbols are looked up at the start: else every program looks up those that it is the first to call.
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "LC_ALL": "C.UTF-8",
    "MALLOC_ARENA_MAX": "1",
    "LD_BIND_NOW": "1",
}


class WorkerDied(GraderError):
    """A worker's process ended: the jobs it held have to be given to another one."""


class Worker:
    """One worker process. `jobs` are those it was given and has not answered, in order.

    Raises GraderError where it cannot be started.
    """

    def __init__(self, limits: Limits) -> None:
        self._socket, theirs = (_beyond_standard(end) for end in socket.socketpair())
        self.jobs: OrderedDict[int, Any] = OrderedDict()
        self._plans: OrderedDict[bytes, tuple[int, int]] = OrderedDict()  # number, size
        self._numbers = 0
        self._inbox, self._outbox = bytearray(), bytearray()
        self.busy_alone = False
        self.heard = time.monotonic()
        with theirs:
            self._process = _spawn(theirs)
        self._send(asdict(limits) | {"site": sysconfig.get_path("purelib")})

    def await_start(self) -> None:
        """Raises GraderError."""
        self._socket.settimeout(START_SECONDS)
        try:
            while not (answer := self._frame()):
                self._read()
        except (WorkerDied, TimeoutError) as error:
            self.kill()
            raise GraderError(f"a grader worker did not start: {self._complaint()}") from error
        self._socket.setblocking(False)
        assert self._process.stderr is not None
        self._process.stderr.close()
        self.layers: dict[str, str] = answer["layers"]

    def fileno(self) -> int:
        return self._socket.fileno()

    def submit(self, batch: list[tuple[int, Plan, str]]) -> None:
        """Give it programs: (job, plan, source). What it does not take yet waits: call `flush` when writable."""
        if not self.jobs:
            self.heard = time.monotonic()
        frame: list[tuple[Any, ...]] = []
        for job, plan, source in batch:
            if plan.digest not in self._plans:
                self._numbers += 1
                self._plans[plan.digest] = self._numbers, plan.size
                frame.append(("plan", self._numbers, plan.data))
            self._plans.move_to_end(plan.digest)
            frame.append(("grade", job, self._plans[plan.digest][0], source))
            self.jobs[job] = None
        held = sum(size for _, size in self._plans.values())
        while len(self._plans) > MAX_PLANS or (held > MAX_PLAN_BYTES and len(self._plans) > 1):
            _, (number, size) = self._plans.popitem(last=False)
            held -= size
            frame.append(("forget", number))
        self._send(frame)

    def receive(self) -> list[list[Any]]:
        """Answers that are there: [job, verdict, detail, cpu seconds, final, more]. Call when readable.

        Raises WorkerDied.
        """
        self._read()
        self.heard = time.monotonic()
        answers: list[list[Any]] = []
        while (frame := self._frame()) is not None:
            answers += frame
        for answer in answers:
            self.jobs.pop(answer[0])
        return answers

    @property
    def unsent(self) -> bool:
        return bool(self._outbox)

    def flush(self) -> None:
        """Send what it takes. That it is dead, `receive` tells."""
        try:
            del self._outbox[: self._socket.send(self._outbox)]
        except BlockingIOError:
            pass
        except OSError:
            self._outbox.clear()

    def abandon(self) -> None:
        """Give up the worker in a forked child; it belongs to the parent."""
        self._socket.close()
        self._process.returncode = 0

    def kill(self) -> None:
        """End it and everything that it runs."""
        self._socket.close()
        self._process.kill()
        self._process.wait()

    def _complaint(self) -> str:
        """The last line that a worker left on stderr while starting; it closes stderr when it is up."""
        assert self._process.stderr is not None
        lines = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        self._process.stderr.close()
        status = self._process.returncode
        if not lines:
            return f"it was killed by signal {-status}" if status < 0 else f"exit code {status}"
        return f"{lines[-1]} ({PROCESSES})" if "BlockingIOError" in lines[-1] else lines[-1]

    def _send(self, message: Any) -> None:
        body = marshal.dumps(message)
        self._outbox += len(body).to_bytes(8, "little") + body
        self.flush()

    def _read(self) -> None:
        try:
            data = self._socket.recv(1 << 18)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            raise WorkerDied("a grader worker died")
        self._inbox += data

    def _frame(self) -> Any:
        size = int.from_bytes(self._inbox[:8], "little")
        if len(self._inbox) < 8 or len(self._inbox) < 8 + size:
            return None
        body = bytes(self._inbox[8 : 8 + size])
        del self._inbox[: 8 + size]
        return json.loads(body)


def _beyond_standard(end: socket.socket) -> socket.socket:
    """Move a descriptor above 2: if standard streams are closed, new descriptors get their numbers, and the worker
    would mistake them."""
    if end.fileno() > 2:
        return end
    with end:
        return socket.socket(fileno=fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3))


def _spawn(link: socket.socket) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-s", "-S", str(SANDBOX), str(SOURCE), str(link.fileno())],
            pass_fds=[link.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,  # Ctrl-C in a terminal is for the trainer, which may want to finish its step
        )
    except OSError as error:
        hint = f" ({PROCESSES})" if isinstance(error, BlockingIOError) else ""
        raise GraderError(f"a grader worker cannot be started: {error}{hint}") from error


def usable_cores() -> int:
    return len(os.sched_getaffinity(0))
