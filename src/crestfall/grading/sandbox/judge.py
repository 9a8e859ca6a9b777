"""Grade one program against one plan of tests, on the trusted side: start it, read what it sends, compare, give a
verdict."""

from __future__ import annotations

import reprlib
import signal
import socket
from dataclasses import dataclass
from typing import Any

from crestfall.grading.sandbox.compare import equal
from crestfall.grading.sandbox.decode import Malformed, parse, rebuild
from crestfall.grading.sandbox.program import Ending, Handle, Overflow
from crestfall.grading.sandbox.zygote import Settings

FAULTS = {"syntax": "syntax_error", "memory": "memory_limit", "output": "output_limit"}


@dataclass(frozen=True)
class Outcome:
    """`final`: another run on a quieter machine would not change it."""

    verdict: str
    detail: str = ""
    cpu_seconds: float = 0.0
    final: bool = True


def shown(value: Any) -> str:
    """A value, shortened, for `detail`."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 60
    try:
        return short.repr(value)
    except (ValueError, RecursionError):  # ints past the digit limit, deep nesting
        return f"<{type(value).__name__}>"


class Judge:
    def __init__(self, zygote: socket.socket, settings: Settings) -> None:
        self._zygote, self._settings = zygote, settings
        self._running: Handle | None = None

    def abandon(self) -> None:
        """End the program that a grading which was broken off has left running."""
        if self._running is not None:
            self._running.finish()

    def grade(self, source: str, plan: dict[str, Any]) -> Outcome:
        """Raises ZygoteDied."""
        kinds = {"calls": self._grade_calls}
        return kinds[plan["kind"]](source, plan)

    def _grade_calls(self, source: str, plan: dict[str, Any]) -> Outcome:
        cases = plan["cases"]
        job = ("calls", source, plan["entry"], [args for args, _ in cases], self._settings.output_bytes)
        program = self._running = Handle(self._zygote, self._settings, job)
        try:
            verdict, detail = self._compare_calls(program, plan)
        except Overflow:
            verdict, detail = "output_limit", "returned more than it may"
        except Malformed as error:
            verdict, detail = "violation", f"wrote to the grader's channel: {error}"
        return self.conclude(program.finish(), verdict, detail)

    def _compare_calls(self, program: Handle, plan: dict[str, Any]) -> tuple[str, str]:
        """Verdict and detail; ("", place) when the program ended early, which its ending then explains."""
        for index, (_, expected) in enumerate(plan["cases"]):
            place = f"case {index + 1}"
            line = program.line(patient=True)
            if line is None:
                return "", place
            message = parse(line)
            if not isinstance(message, list) or not message:
                raise Malformed("no message")
            if message[0] == "x":
                return fault(message, place)
            if message[0] != "v" or len(message) != 2:
                raise Malformed("unknown message")
            given = rebuild(message[1])
            if not equal(expected, given, plan["compare"], plan["tolerance"]):
                return "wrong_answer", f"{place}: gave {shown(given)}, expected {shown(expected)}"
        return "passed", ""

    def conclude(self, ending: Ending, verdict: str, detail: str) -> Outcome:
        """The verdict in the light of how the process ended: limits come first, then what it sent."""
        cpu = ending.cpu_seconds
        if verdict in ("wrong_answer", "violation"):
            return Outcome(verdict, detail, cpu)
        if ending.out_of_cpu:
            return Outcome("time_limit", f"used {cpu:.1f} s of CPU time", cpu)
        if ending.out_of_wall:
            return Outcome("time_limit", f"{ending.wall_seconds:.0f} s passed, {cpu:.1f} s of CPU", cpu, final=False)
        if verdict != "passed" and ending.printed >= self._settings.output_bytes:
            return Outcome("output_limit", f"printed {ending.printed} bytes or more", cpu)
        if verdict:
            return Outcome(verdict, detail, cpu)
        if ending.signal == signal.SIGSYS:
            return Outcome("violation", "made a system call that no program may make", cpu)
        if ending.signal:
            return Outcome("runtime_error", f"{detail}: died of {signal.Signals(ending.signal).name}", cpu)
        return Outcome("runtime_error", f"{detail}: the program ended itself", cpu)


def fault(message: list[Any], place: str) -> tuple[str, str]:
    """Verdict and detail of an exception message `["x", kind, text]`. Raises Malformed."""
    if len(message) != 3 or not all(isinstance(part, str) for part in message):
        raise Malformed("a broken exception message")
    _, kind, text = message
    if kind == "syntax":
        return "syntax_error", text
    return FAULTS.get(kind, "runtime_error"), f"{place}: {text}"
