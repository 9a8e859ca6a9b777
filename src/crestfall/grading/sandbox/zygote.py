"""The warmed process that forks once per program. It holds no tests, no answers, and no other program's descriptors.

Protocol on its socket: `START` with the program's descriptors (channel, stdin, stdout; the last two may be left out),
then the zygote forks and, when the program's process has ended, sends one `Report`. A byte sent meanwhile means: end it
now.
"""

from __future__ import annotations

import array
import contextlib
import gc
import io
import math
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass

from crestfall.grading.sandbox import contestant, harness, linux, scratch, seccomp
from crestfall.grading.sandbox.encode import Encoder
from crestfall.grading.sandbox.pace import AWAKE, SLICE

REPORT = struct.Struct("<iiddq")  # wait status, ending, CPU seconds, wall seconds, bytes printed
SYNC = b"sync"  # answered with itself once no program runs
ENDED, CPU_LIMIT, WALL_LIMIT, DISMISSED = range(4)
CPU_GRACE = 0.5  # a program is stopped this much past its CPU limit at the latest, by the kernel's whole-second limit

CHANNEL = 3  # a program's descriptor of its channel, behind the standard streams

PID_MARK = 0x3A5C71E9  # stands for the program's process id in the filter, until there is one

# Imported before the first fork, so that no program pays for them: what solutions to programming problems import most.
WARM = (
    "typing",
    "collections",
    "collections.abc",
    "re",
    "math",
    "itertools",
    "functools",
    "heapq",
    "bisect",
    "string",
    "operator",
    "copy",
    "io",
    "enum",
    "abc",
    "dataclasses",
    "crestfall.grading.sandbox.serve",
)


@dataclass(frozen=True)
class Settings:
    cpu_seconds: float
    wall_seconds: float
    memory_bytes: int
    output_bytes: int
    seccomp: bool
    scratch: str | None
    packages: bool


def warm() -> None:
    """Import and use what programs use, then put every object out of the collector's reach: a collection in a fork
    copies pages."""
    for name in WARM:
        __import__(name)
    for _ in range(20):  # what every program goes through: its bytecode is then specialised here and not in each fork
        namespace = harness.load("def f(x):\n    return [f'{y}' for y in x]\n", harness.MODULE)
        assert isinstance(namespace, dict)
        Encoder(1000, listed=True).encode([namespace["f"]([1]), (1.5, "a", {1: True}), None])
        harness.load("def f(:", harness.MODULE)
        harness.fault(ValueError("x"))
    del sys.modules[harness.MODULE]
    gc.collect()
    gc.freeze()


def limit_resources(settings: Settings) -> None:
    """Limits that zygote and programs share; the CPU limit is each program's own."""
    linux.limit(resource.RLIMIT_CORE, 0)
    linux.limit(resource.RLIMIT_FSIZE, settings.output_bytes)
    linux.limit(resource.RLIMIT_NOFILE, 128)
    linux.limit(resource.RLIMIT_MSGQUEUE, 0)
    linux.limit(resource.RLIMIT_MEMLOCK, 0)
    linux.limit(resource.RLIMIT_AS, settings.memory_bytes)


def _text_stream(fd: int) -> io.TextIOWrapper:
    raw = io.FileIO(fd, "r" if fd == 0 else "w", closefd=False)
    buffer = io.BufferedReader(raw) if fd == 0 else io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, encoding="utf-8", errors="surrogateescape", line_buffering=fd == 2)


class Zygote:
    def __init__(self, control: socket.socket, settings: Settings) -> None:
        self._control = control
        self._settings = settings
        self._sink = os.memfd_create("stdout", os.MFD_CLOEXEC)
        self._filter = seccomp.Prepared(seccomp.contestant_filter(PID_MARK), PID_MARK)
        self._cores = os.cpu_count() or 1
        self._home = "/"

    def serve(self) -> None:
        """Until the worker hangs up."""
        limit_resources(self._settings)
        if not self._settings.packages:  # numpy's libraries read how many threads they may start
            os.environ.clear()
        warm()
        self._control.send(b"ready")
        self._open_streams()
        if self._settings.scratch is not None:
            self._home = scratch.renew(self._settings.scratch)
        while True:
            descriptors = array.array("i")
            message, ancillary, _, _ = self._control.recvmsg(16, socket.CMSG_SPACE(3 * descriptors.itemsize))
            for _, _, data in ancillary:
                descriptors.frombytes(data)
            if not message:
                os._exit(0)
            if descriptors:
                self._run(list(descriptors))
            elif message == SYNC:
                self._control.send(SYNC)
            # else a late dismissal of a program that has ended by itself

    def _open_streams(self) -> None:
        """The standard streams of programs, made here once: no input, and output that nobody reads. A program with
        files of its own gets those under the same numbers, and so under the same streams."""
        null = os.open("/dev/null", os.O_RDONLY)
        for target, fd in enumerate((null, self._sink, self._sink)):
            os.dup2(fd, target)
        os.close(null)
        sys.stdin, sys.stdout, sys.stderr = (_text_stream(fd) for fd in range(3))

    def _run(self, descriptors: list[int]) -> None:
        channel, *files = descriptors
        stdout = files[1] if files else self._sink
        start = time.monotonic()
        pid = os.fork()
        if pid == 0:
            try:
                self._become_contestant(channel, files)
            finally:
                os._exit(70)
        pidfd = os.pidfd_open(pid)
        ending = self._watch(pid, pidfd, start)
        self._kill(pid)
        _, status, usage = os.wait4(pid, 0)
        os.close(pidfd)
        printed = os.fstat(stdout).st_size
        for descriptor in descriptors:
            os.close(descriptor)
        if self._settings.scratch is not None:
            self._home = scratch.renew(self._settings.scratch)
        if stdout == self._sink and printed:
            os.ftruncate(stdout, 0)
            os.lseek(stdout, 0, os.SEEK_SET)
        used = usage.ru_utime + usage.ru_stime
        self._control.send(REPORT.pack(status, ending, used, time.monotonic() - start, printed))

    def _watch(self, pid: int, pidfd: int, start: float) -> int:
        """Wait for the end of a program, or for a reason to end it."""
        clock = (~pid << 3) | 2  # the CPU-time clock of that process, see clock_getcpuclockid(3)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        cpu_limit, wall_limit = self._settings.cpu_seconds, self._settings.wall_seconds
        wait = min(cpu_limit, wall_limit, SLICE) / self._cores
        slice_start, slice_cpu, asleep = start, 0.0, 0.0
        while True:
            ready = {fd for fd, _ in poll.poll(math.ceil(wait * 1000))}
            if pidfd in ready:
                return ENDED
            if ready:
                if not self._control.recv(16):
                    os._exit(0)
                return DISMISSED
            now, cpu = time.monotonic(), time.clock_gettime(clock)
            if cpu >= cpu_limit:
                return CPU_LIMIT
            if now - slice_start >= SLICE:
                if cpu - slice_cpu < AWAKE * (now - slice_start):
                    asleep += now - slice_start
                slice_start, slice_cpu = now, cpu
            if asleep >= wall_limit:
                return WALL_LIMIT
            wait = max(min((cpu_limit - cpu) / self._cores, SLICE), 0.005)

    def _kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)  # a zombie does not mind
        if os.getpid() == 1:  # in a PID namespace of our own: whatever else is left in it goes too
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)

    def _become_contestant(self, channel: int, files: list[int]) -> None:
        """From a fork of the zygote to a confined process that runs one program. `files`: standard input and output,
        or none."""
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        if files:
            stdin, stdout = files
            for target, fd in enumerate((stdin, stdout, stdout)):
                os.dup2(fd, target)
        os.dup2(channel, CHANNEL)
        os.closerange(CHANNEL + 1, 128)
        if self._settings.scratch is not None:
            os.chdir(self._home)
        whole_seconds = math.ceil(self._settings.cpu_seconds + CPU_GRACE)
        resource.setrlimit(resource.RLIMIT_CPU, (whole_seconds, whole_seconds + 1))
        if self._settings.seccomp:
            self._filter.install(os.getpid())
        contestant.main(CHANNEL)
