"""One running program as the worker sees it: a channel to read from, and how it ended. Nothing read here is
believed."""

from __future__ import annotations

import array
import contextlib
import marshal
import os
import select
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crestfall.grading.sandbox.zygote import CPU_LIMIT, FULL, REPORT, START, UNSTARTED, WALL_LIMIT

# Most programs are done sooner than this; waking for each of their lines would cost as much as running them.
PATIENCE_MS = 4


@dataclass(frozen=True)
class Ending:
    """End of a program's process, as the zygote reports it."""

    signal: int
    code: int
    cpu_seconds: float
    wall_seconds: float
    printed: int
    out_of_cpu: bool = False
    out_of_wall: bool = False
    out_of_room: bool = False


class Overflow(Exception):
    """The program sent more than it may."""


class ZygoteDied(Exception):
    """The zygote is gone: our fault, not the program's."""


class Unstarted(OSError):
    """The system gives no process for the program."""


class Handle:
    """A program that the zygote was asked to start.

    Args:
        output_bytes: what it may send.
        streams: files for its standard input, output and errors.
    """

    def __init__(
        self,
        zygote: socket.socket,
        output_bytes: int,
        cpu_seconds: float,
        memory_bytes: int,
        job: tuple[Any, ...],
        streams: Sequence[int],
    ) -> None:
        self.streams = streams
        self._zygote, self._output_bytes, self._cpu_seconds = zygote, output_bytes, cpu_seconds
        self._channel, theirs = socket.socketpair()
        self._events = select.poll()
        self._events.register(self._channel, select.POLLIN)
        self._events.register(zygote, select.POLLIN)
        descriptors = array.array("i", [theirs.fileno(), *streams])
        start = START.pack(cpu_seconds, memory_bytes)
        try:
            zygote.sendmsg([start], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        except (BrokenPipeError, ConnectionError) as error:
            raise ZygoteDied from error
        finally:
            theirs.close()
        self._buffer = bytearray()
        self._received = 0
        self._open = True
        self._ending: Ending | None = None
        self.send(job)

    def send(self, message: tuple[Any, ...]) -> None:
        """Marshalled: this direction carries our data to the program, never the other way round."""
        body = marshal.dumps(message)
        with contextlib.suppress(OSError):  # it is gone: the next `line` tells
            self._channel.sendall(len(body).to_bytes(8, "little") + body)

    def line(self, patient: bool = False) -> bytes | None:
        """The next line that the program sent, or None when it has ended. `patient`: let it get on with its work first.

        Raises: Overflow, ZygoteDied.
        """
        while True:
            end = self._buffer.find(b"\n")
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                return line
            if not self._open:
                return None
            if patient and self._ending is None:
                self._await_report(PATIENCE_MS)
            self._fill()

    def finish(self) -> Ending:
        """End the program if it still runs; how it ended. Raises ZygoteDied."""
        if self._ending is None:
            with contextlib.suppress(BrokenPipeError, ConnectionError):  # reading tells
                self._zygote.send(b"k")
            while self._ending is None:
                self._await_report(None)
        self._channel.close()
        assert self._ending is not None
        return self._ending

    def _await_report(self, milliseconds: int | None) -> None:
        poll = select.poll()
        poll.register(self._zygote, select.POLLIN)
        if poll.poll(milliseconds):
            self._read_report()

    def _read_report(self) -> None:
        try:
            data = self._zygote.recv(REPORT.size)
        except ConnectionError:
            data = b""
        if len(data) != REPORT.size:
            raise ZygoteDied
        status, reason, cpu, wall, printed = REPORT.unpack(data)
        if reason == UNSTARTED:
            self._ending = Ending(0, 0, 0.0, 0.0, 0)
            raise Unstarted(status, f"no process can be started for the program: {os.strerror(status)}")
        died = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        limit = self._cpu_seconds
        out_of_cpu = reason == CPU_LIMIT or died == signal.SIGXCPU or cpu > limit
        out_of_wall = reason == WALL_LIMIT and not out_of_cpu
        code = os.WEXITSTATUS(status)
        self._ending = Ending(died, code, cpu, wall, printed, out_of_cpu, out_of_wall, out_of_room=reason == FULL)

    def _fill(self) -> None:
        """Wait for bytes or the end; read what there is."""
        if self._ending is None and self._zygote.fileno() in {fd for fd, _ in self._events.poll()}:
            self._read_report()
        try:
            data = self._channel.recv(1 << 16, socket.MSG_DONTWAIT)
        except (BlockingIOError, ConnectionResetError):
            data = b""
            if self._ending is None:
                return
        self._buffer += data
        self._received += len(data)
        if self._received > self._output_bytes + 4096:
            raise Overflow
        if not data:
            if self._ending is None:
                self._await_report(None)
            self._open = False
