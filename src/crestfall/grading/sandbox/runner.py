"""Start programs and conclude how they ended, on the trusted side."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from crestfall.grading.sandbox.outcome import Outcome
from crestfall.grading.sandbox.program import Handle
from crestfall.grading.sandbox.zygote import Settings


class Runner:
    def __init__(self, zygote: socket.socket, settings: Settings) -> None:
        self._zygote, self.settings = zygote, settings
        self._running: Handle | None = None
        self.ready: dict[str, bytes | None] = {}  # by source: code that a program's process need not compile

    def abandon(self) -> None:
        """End the program that a grading which was broken off has left running."""
        if self._running is not None:
            self._running.finish()

    @contextmanager
    def program(self, job: tuple[Any, ...], plan: dict[str, Any], stdin: bytes = b"") -> Iterator[Handle]:
        """A program started with new files for its standard streams, to be concluded within the context."""
        with ExitStack() as files:
            streams = [files.enter_context(scratch_file(content)) for content in (stdin, b"", b"")]
            cpu_seconds = plan.get("cpu_seconds") or self.settings.cpu_seconds
            memory = plan.get("memory_mib")
            memory_bytes = self.settings.memory_bytes if memory is None else memory << 20
            kind, source, *rest = job
            job = (kind, self.ready.get(source), source, *rest)
            self._running = Handle(self._zygote, self.settings.output_bytes, cpu_seconds, memory_bytes, job, streams)
            yield self._running

    def conclude(self, program: Handle, verdict: str, detail: str) -> Outcome:
        """The verdict in the light of how the process ended: limits come first, then what it sent."""
        ending = program.finish()
        cpu, kept = ending.cpu_seconds, [self._beginning(stream) for stream in program.streams[1:]]

        def outcome(verdict: str, detail: str, final: bool = True) -> Outcome:
            return Outcome(verdict, detail, cpu, final, stdout=kept[0], stderr=kept[1])

        if verdict in ("wrong_answer", "violation"):
            return outcome(verdict, detail)
        if ending.out_of_cpu:
            return outcome("time_limit", f"used {cpu:.1f} s of CPU time")
        if ending.out_of_wall:
            return outcome("time_limit", f"slept: {cpu:.1f} s of CPU in {ending.wall_seconds:.0f} s", final=False)
        if verdict != "passed" and ending.printed >= self.settings.output_bytes:
            return outcome("output_limit", f"printed {ending.printed} bytes or more")
        if ending.out_of_room:
            return outcome("output_limit", f"wrote {self.settings.scratch_bytes} bytes or more to files")
        if verdict:
            return outcome(verdict, detail)
        if ending.signal == signal.SIGSYS:
            return outcome("violation", "made a system call that no program may make")
        if ending.signal:
            return outcome("runtime_error", f"{detail}: died of {signal_name(ending.signal)}")
        return outcome("runtime_error", f"{detail}: the program ended itself")

    def _beginning(self, stream: int) -> str:
        kept = self.settings.keep_output
        return os.pread(stream, kept, 0).decode("utf-8", "replace") if kept else ""


@contextmanager
def scratch_file(content: bytes = b"") -> Iterator[int]:
    """A file in memory, at its start."""
    fd = os.memfd_create("file", os.MFD_CLOEXEC)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        if content:
            os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def signal_name(number: int) -> str:
    """Real-time signals have no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
