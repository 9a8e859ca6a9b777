"""Grade one program against one plan of tests, on the trusted side: start it, read what it sends, compare, give a
verdict."""

from __future__ import annotations

import os
import reprlib
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from crestfall.grading.sandbox.compare import equal, output_difference
from crestfall.grading.sandbox.decode import Malformed, parse, rebuild
from crestfall.grading.sandbox.harness import compiled
from crestfall.grading.sandbox.program import Ending, Handle, Overflow, ZygoteDied
from crestfall.grading.sandbox.remote import Conversation, ProgramEnded, ProgramFault, TestCode, Unsendable
from crestfall.grading.sandbox.zygote import Settings

SHORT = 2000  # characters
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
    except Exception:  # deep nesting, say
        return f"<{type(value).__name__}>"


def syntax_error(source: str) -> str | None:
    """What is wrong with the syntax of a short program, without a process for it: most of what a collapsed policy
    writes does not parse. Compiling runs nothing; sources long enough to strain the parser are left to a process of
    their own."""
    if len(source) > SHORT:
        return None
    try:
        code = compiled(source)
    except MemoryError:
        return None
    return code if isinstance(code, str) else None


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
        try:
            wrong = syntax_error(source)
        except MemoryError:
            return Outcome("memory_limit", "compiling it took more memory than a program may use")
        if wrong is not None:
            return Outcome("syntax_error", wrong)
        kinds = {"calls": self._grade_calls, "code": self._grade_code, "stdio": self._grade_stdio}
        return kinds[plan["kind"]](source, plan)

    def _start(self, job: tuple[Any, ...], *files: int) -> Handle:
        self._running = Handle(self._zygote, self._settings, job, *files)
        return self._running

    def _grade_calls(self, source: str, plan: dict[str, Any]) -> Outcome:
        cases = plan["cases"]
        job = ("calls", source, plan["entry"], [args for args, _ in cases], self._settings.output_bytes)
        program = self._start(job)
        verdict, detail = guarded(self._compare_calls, program, plan)
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

    def _grade_code(self, source: str, plan: dict[str, Any]) -> Outcome:
        if "compiled" not in plan:
            try:
                plan["compiled"] = TestCode(plan["code"], plan["entry"], plan["helpers"])
            except (SyntaxError, ValueError) as error:
                return Outcome("infra", f"the tests cannot be compiled: {error}")
        program = self._start(("code", source, self._settings.output_bytes))
        verdict, detail = guarded(self._run_tests, program, plan["compiled"])
        return self.conclude(program.finish(), verdict, detail)

    def _run_tests(self, program: Handle, tests: TestCode) -> tuple[str, str]:
        conversation = Conversation(program)
        try:
            conversation.opening()
            tests.run(conversation)
        except ProgramEnded:
            return "", f"call {conversation.calls}"
        except ProgramFault as error:
            return fault(["x", error.kind, str(error)], f"call {conversation.calls}")
        except Unsendable as error:
            return "infra", str(error)
        except (Overflow, Malformed, ZygoteDied):
            raise
        except BaseException as error:
            return failed_test(error, conversation.calls)
        return "passed", ""

    def _grade_stdio(self, source: str, plan: dict[str, Any]) -> Outcome:
        """One run of the program per case, each with the limits of one program; the first failure ends it."""
        cpu = 0.0
        for index, (stdin, expected) in enumerate(plan["cases"]):
            outcome = self._run_stdio(source, stdin, expected, plan["tolerance"], f"case {index + 1}")
            cpu += outcome.cpu_seconds
            if outcome.verdict != "passed":
                break
        return Outcome(outcome.verdict, outcome.detail, cpu, outcome.final)

    def _run_stdio(self, source: str, stdin: str, expected: str, tolerance: float, place: str) -> Outcome:
        with scratch_file(stdin.encode("utf-8", "surrogateescape")) as given, scratch_file() as printed:
            program = self._start(("main", source), given, printed)
            verdict, detail = guarded(ended_well, program, place)
            ending = program.finish()
            if not verdict and not ending.signal and ending.code == 0:
                verdict = "passed"  # it left by os._exit, which is its right here: its output decides
            outcome = self.conclude(ending, verdict, detail)
            if outcome.verdict != "passed":
                return outcome
            output = os.pread(printed, self._settings.output_bytes, 0).decode("utf-8", "replace")
        difference = output_difference(expected, output, tolerance)
        if difference is None:
            return outcome
        return Outcome("wrong_answer", f"{place}: {difference}", outcome.cpu_seconds)

    def conclude(self, ending: Ending, verdict: str, detail: str) -> Outcome:
        """The verdict in the light of how the process ended: limits come first, then what it sent."""
        cpu = ending.cpu_seconds
        if verdict in ("wrong_answer", "violation"):
            return Outcome(verdict, detail, cpu)
        if ending.out_of_cpu:
            return Outcome("time_limit", f"used {cpu:.1f} s of CPU time", cpu)
        if ending.out_of_wall:
            return Outcome("time_limit", f"slept: {cpu:.1f} s of CPU in {ending.wall_seconds:.0f} s", cpu, final=False)
        if verdict != "passed" and ending.printed >= self._settings.output_bytes:
            return Outcome("output_limit", f"printed {ending.printed} bytes or more", cpu)
        if verdict:
            return Outcome(verdict, detail, cpu)
        if ending.signal == signal.SIGSYS:
            return Outcome("violation", "made a system call that no program may make", cpu)
        if ending.signal:
            return Outcome("runtime_error", f"{detail}: died of {signal_name(ending.signal)}", cpu)
        return Outcome("runtime_error", f"{detail}: the program ended itself", cpu)


def guarded(run: Callable[..., tuple[str, str]], *args: Any) -> tuple[str, str]:
    """Run one conversation with a program; whatever breaks it is the program's doing. Raises ZygoteDied."""
    try:
        return run(*args)
    except Overflow:
        return "output_limit", "returned more than it may"
    except Malformed as error:
        return "violation", f"wrote to the grader's channel: {error}"
    except MemoryError:
        return "memory_limit", "comparing what it gave took more memory than a program may use"
    except ZygoteDied:
        raise
    except Exception as error:
        return "wrong_answer", f"what it gave cannot be compared: {type(error).__name__}: {error}"


def signal_name(number: int) -> str:
    """Real-time signals have no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def ended_well(program: Handle, place: str) -> tuple[str, str]:
    line = program.line(patient=True)
    if line is None:
        return "", place
    message = parse(line)
    if message == ["v", None]:
        return "passed", ""
    if not isinstance(message, list):
        raise Malformed("no message")
    return fault(message, place)


def failed_test(error: BaseException, calls: int) -> tuple[str, str]:
    """Verdict and detail of an exception that left the tests: the program's (it carries a note), or an assertion's."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, MemoryError):
        return "memory_limit", f"call {calls}: {text}"
    if getattr(error, "__notes__", None):
        return "runtime_error", f"call {calls}: {error.__notes__[0]}"
    return "wrong_answer", f"the test after call {calls} failed: {text}"


@contextmanager
def scratch_file(content: bytes = b"") -> Iterator[int]:
    """A file in memory, at its start."""
    fd = os.memfd_create("file", os.MFD_CLOEXEC)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def fault(message: list[Any], place: str) -> tuple[str, str]:
    """Verdict and detail of an exception message `["x", kind, text]`. Raises Malformed."""
    if len(message) != 3 or not all(isinstance(part, str) for part in message):
        raise Malformed("a broken exception message")
    _, kind, text = message
    if kind == "syntax":
        return "syntax_error", text
    return FAULTS.get(kind, "runtime_error"), f"{place}: {text}"
