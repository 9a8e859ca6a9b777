"""Outcome of grading one program, on the trusted side, and its description in words."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from crestfall.grading.sandbox.decode import Malformed, parse
from crestfall.grading.sandbox.program import Handle, Overflow, Unstarted, ZygoteDied

FAULTS = {"syntax": "syntax_error", "memory": "memory_limit", "output": "output_limit", "refused": "violation"}


@dataclass(frozen=True)
class Outcome:
    """`final`: another run on a quieter machine would not change it. `tests`: (name, verdict, detail) of each test that
    was run; `total`: how many tests there are."""

    verdict: str
    detail: str = ""
    cpu_seconds: float = 0.0
    final: bool = True
    tests: tuple[tuple[str, str, str], ...] = ()
    total: int = 0
    stdout: str = ""
    stderr: str = ""


def combined(outcomes: list[Outcome], names: list[str]) -> Outcome:
    """The outcome of several tests, in order: that of the first which did not pass.

    Args:
        names: of all tests, of those too that were not run after a failure.
    """
    first = next((outcome for outcome in outcomes if outcome.verdict != "passed"), outcomes[-1])
    tests = tuple((name, o.verdict, o.detail) for name, o in zip(names, outcomes, strict=False))
    cpu = sum(outcome.cpu_seconds for outcome in outcomes)
    final = all(outcome.final for outcome in outcomes)
    return replace(first, cpu_seconds=cpu, final=final, tests=tests, total=len(names))


def shown(value: Any) -> str:
    """A value, shortened, for `detail`."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 60
    try:
        return short.repr(value)
    except Exception:  # deep nesting, say
        return f"<{type(value).__name__}>"


def guarded(run: Callable[..., tuple[str, str]], *args: Any) -> tuple[str, str]:
    """Run one conversation with a program; whatever breaks it is the program's doing. Raises ZygoteDied, Unstarted."""
    try:
        return run(*args)
    except Overflow:
        return "output_limit", "returned more than it may"
    except Malformed as error:
        return "violation", f"wrote to the grader's channel: {error}"
    except MemoryError:
        return "memory_limit", "comparing what it gave took more memory than a program may use"
    except (ZygoteDied, Unstarted):
        raise
    except Exception as error:
        return "wrong_answer", f"what it gave cannot be compared: {type(error).__name__}: {error}"


def message_of(program: Handle, place: str) -> list[Any] | None:
    """The next message `["v", ...]` or `["x", kind, text]` of a program, None where it has ended. Raises Malformed."""
    line = program.line(patient=True)
    if line is None:
        return None
    message = parse(line)
    if not isinstance(message, list) or len(message) < 2 or message[0] not in ("v", "x"):
        raise Malformed("no message")
    return message


def fault(message: list[Any], place: str) -> tuple[str, str]:
    """Verdict and detail of an exception message `["x", kind, text]`. Raises Malformed."""
    if len(message) != 3 or not all(isinstance(part, str) for part in message):
        raise Malformed("a broken exception message")
    _, kind, text = message
    if kind == "syntax":
        return "syntax_error", text
    return FAULTS.get(kind, "runtime_error"), f"{place}: {text}"
