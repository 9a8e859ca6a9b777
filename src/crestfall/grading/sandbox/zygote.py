"""The warmed process that forks once per program. It holds no tests, no answers, and no other program's descriptors.

Protocol on its socket: `START`, the program's limits, with its descriptors (channel, stdin, stdout, stderr); then the
zygote forks and, when the program's process has ended, sends one `REPORT`. A byte sent meanwhile means: end it now.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import gc
import math
import os
import random
import resource
import select
import signal
import socket
import struct
import sys
import time
import types
from dataclasses import dataclass

from crestfall.grading.sandbox import (
    contestant,
    harness,
    header,
    linux,
    processes,
    pytest_shim,
    scratch,
    seccomp,
    streams,
)
from crestfall.grading.sandbox.pace import AWAKE, SLICE
from crestfall.grading.sandbox.rehearsal import rehearse
from crestfall.grading.sandbox.supervisor import Supervisor

START = struct.Struct("<dq")  # CPU seconds, bytes of address space
REPORT = struct.Struct("<iiddq")  # wait status, ending, CPU seconds, wall seconds, bytes printed
READY, READY_COUNTING = b"ready", b"ready, threads are counted"
SYNC = b"sync"  # answered with itself once no program runs
ENDED, CPU_LIMIT, WALL_LIMIT, DISMISSED, UNSTARTED, FULL = range(6)
FORK_SECONDS = 2.0  # so long the system may refuse a process: other programs end meanwhile
CPU_GRACE = 0.5  # a program is stopped this much past its CPU limit at the latest, by the kernel's whole-second limit

LOOK_SECONDS = 0.01  # how often the size of what a program writes is looked at, where no file system bounds it

CHANNEL = 3  # a program's descriptor of its channel, behind the standard streams

PID_MARK = 0x3A5C71E9  # stands for the program's process id in the filter, until there is one

# Imported before the first fork, so that no program pays for them: what solutions to programming problems import most.
WARM = """typing collections collections.abc re math itertools functools heapq bisect string operator copy io enum abc
dataclasses crestfall.grading.sandbox.serve""".split()  # noqa: SIM905


@dataclass(frozen=True)
class Settings:
    cpu_seconds: float
    wall_seconds: float
    memory_bytes: int
    output_bytes: int
    seccomp: bool
    scratch: str | None
    scratch_bytes: int | None
    packages: bool
    every_test: bool
    keep_output: int


def warm() -> None:
    """Import and use what programs use, then put every object out of the collector's reach: a collection in a fork
    copies pages."""
    for name in WARM:
        __import__(name)
    header.names(header.LEETCODE)
    pytest_shim.absent()
    processes.install()
    sys.modules["pypyjit"] = types.SimpleNamespace(set_param=lambda *args, **kwargs: None)  # type: ignore[assignment]
    sys.argv[:] = sys.orig_argv[:] = ["main.py"]
    sys.set_int_max_str_digits(0)  # as judges have it: CPU time bounds the conversion
    rehearse()
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
    _, most = resource.getrlimit(resource.RLIMIT_AS)  # kept: a program's own limit may be higher, and is final
    own = settings.memory_bytes if most == resource.RLIM_INFINITY else min(settings.memory_bytes, most)
    resource.setrlimit(resource.RLIMIT_AS, (own, most))


class Zygote:
    def __init__(self, control: socket.socket, settings: Settings) -> None:
        self._control = control
        self._settings = settings
        null = os.open("/dev/null", os.O_RDWR)
        # Out of the way of those that programs get.
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._null = fcntl.fcntl(null, fcntl.F_DUPFD_CLOEXEC, min(100, most - 4))
        os.close(null)
        program = seccomp.contestant_filter(PID_MARK, may_change=settings.scratch_bytes is None)
        self._filter = seccomp.Prepared(program, PID_MARK)
        self._cores = os.cpu_count() or 1
        self._scratch = None if settings.scratch is None else scratch.Scratch(settings.scratch)
        self._supervisor = Supervisor(self._room)
        self._looked, self._fits = 0.0, True

    def serve(self) -> None:
        """Until the worker hangs up."""
        limit_resources(self._settings)
        if not self._settings.packages:  # numpy's libraries read how many threads they may start
            os.environ.clear()
        warm()
        if self._settings.seccomp:
            self._supervisor.install(files=self._settings.scratch_bytes is not None)
        if self._supervisor.listener is None and self._settings.scratch_bytes is not None:
            self._scratch = None  # nothing would bound what is written there
            seccomp.install(seccomp.base_filter(may_write=False))
        self._control.send(READY if self._supervisor.listener is None else READY_COUNTING)
        self._open_streams()
        if self._scratch is not None:
            self._scratch.renew()
        while True:
            descriptors = array.array("i")
            message, ancillary, _, _ = self._control.recvmsg(START.size, socket.CMSG_SPACE(4 * descriptors.itemsize))
            for _, _, data in ancillary:
                descriptors.frombytes(data)
            if not message:
                os._exit(0)
            if descriptors:
                self._run(list(descriptors), *START.unpack(message))
            elif message == SYNC:
                self._control.send(SYNC)
            # else a late dismissal of a program that has ended by itself

    def _open_streams(self) -> None:
        """The standard streams of programs, made here once: each program gets files of its own under their numbers."""
        for target in range(3):
            os.dup2(self._null, target)
        streams.open_standard()

    def _run(self, descriptors: list[int], cpu_limit: float, memory_bytes: int) -> None:
        channel, *files = descriptors
        self._supervisor.begin()
        self._fits = True
        start = time.monotonic()
        try:
            pid = linux.patient_fork(FORK_SECONDS, linux.plain_fork)
        except OSError as error:
            for descriptor in descriptors:
                os.close(descriptor)
            self._control.send(REPORT.pack(error.errno or 0, UNSTARTED, 0.0, 0.0, 0))
            return
        if pid == 0:
            try:
                self._become_contestant(channel, files, cpu_limit, memory_bytes)
            finally:
                os._exit(70)
        pidfd = os.pidfd_open(pid)
        ending = self._watch(pid, pidfd, start, cpu_limit)
        self._kill(pid)
        _, status, usage = os.wait4(pid, 0)
        os.close(pidfd)
        printed = max(os.fstat(file).st_size for file in files[1:])
        for descriptor in descriptors:
            os.close(descriptor)
        if self._scratch is not None:
            self._scratch.renew(touched=self._supervisor.files > 0)
        fcntl.fcntl(self._null, fcntl.F_SETFL, 0)  # the one thing that programs share
        fcntl.flock(self._null, fcntl.LOCK_UN)
        used = usage.ru_utime + usage.ru_stime
        self._control.send(REPORT.pack(status, ending, used, time.monotonic() - start, printed))

    def _watch(self, pid: int, pidfd: int, start: float, cpu_limit: float) -> int:
        """Wait for the end of a program, or for a reason to end it."""
        clock = (~pid << 3) | 2  # the CPU-time clock of that process, see clock_getcpuclockid(3)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        listener = self._supervisor.listener
        if listener is not None:
            poll.register(listener, select.POLLIN)
        wall_limit = max(self._settings.wall_seconds, cpu_limit)
        wait = min(cpu_limit, wall_limit, SLICE) / self._cores
        slice_start, slice_cpu, slice_files, asleep = start, 0.0, 0, 0.0
        while True:
            ready = {fd for fd, _ in poll.poll(math.ceil(wait * 1000))}
            if pidfd in ready:
                return self._ended(ENDED)
            if listener in ready:
                self._supervisor.answer()
                ready.discard(listener)
            if ready:
                if not self._control.recv(16):
                    os._exit(0)
                return self._ended(DISMISSED)
            now, cpu = time.monotonic(), time.clock_gettime(clock)
            if cpu >= cpu_limit:
                return CPU_LIMIT
            if now - slice_start >= SLICE:
                waited = self._supervisor.files > slice_files  # for us
                if cpu - slice_cpu < AWAKE * (now - slice_start) and not waited:
                    asleep += now - slice_start
                slice_start, slice_cpu, slice_files = now, cpu, self._supervisor.files
            if asleep >= wall_limit:
                return WALL_LIMIT
            wait = max(min((cpu_limit - cpu) / self._cores, SLICE), 0.005)
            if self._supervisor.files:
                if not self._room():
                    return FULL
                wait = min(wait, LOOK_SECONDS)

    def _ended(self, ending: int) -> int:
        """`ending`, or FULL where the program has written too much since the last look."""
        self._looked = 0.0
        return ending if not self._supervisor.files or self._room() else FULL

    def _room(self) -> bool:
        """May the program write more files?"""
        limit, now = self._settings.scratch_bytes, time.monotonic()
        if limit is not None and self._scratch is not None and now - self._looked >= LOOK_SECONDS:
            self._fits, self._looked = self._scratch.used() < limit, time.monotonic()
        return self._fits

    def _kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)  # a zombie does not mind
        if os.getpid() == 1:  # in a PID namespace of our own: whatever else is left in it goes too
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)

    def _become_contestant(self, channel: int, files: list[int], cpu_limit: float, memory_bytes: int) -> None:
        """Turn this fork of the zygote into a confined process that runs one program. `files`: its standard streams."""
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        for target, fd in enumerate(files):
            os.dup2(fd, target)
        os.dup2(channel, CHANNEL)
        os.dup2(self._null, streams.NULL)
        os.closerange(streams.NULL + 1, 128)
        if self._scratch is not None:
            os.chdir(self._scratch.home)
        whole_seconds = math.ceil(cpu_limit + CPU_GRACE)
        linux.limit(resource.RLIMIT_CPU, whole_seconds, grace=1)
        linux.limit(resource.RLIMIT_AS, memory_bytes)
        if self._settings.seccomp:
            self._filter.install(os.getpid())
        random.seed()
        contestant.main(CHANNEL)
