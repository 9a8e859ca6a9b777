"""HumanEval+ and MBPP+ (EvalPlus): a reference says what is right, and results are compared as EvalPlus compares them,
with its special oracles where several results are right."""

from __future__ import annotations

import math
from typing import Any

from crestfall.grading.sandbox.decode import rebuild
from crestfall.grading.sandbox.outcome import Outcome, fault, guarded, message_of
from crestfall.grading.sandbox.program import Handle
from crestfall.grading.sandbox.runner import Runner

RTOL, FLOAT_ATOL = 1e-7, 1e-6
REFERENCE_SECONDS = 60.0  # CPU time: it runs once for all programs of a worker


def expect(runner: Runner, plan: dict[str, Any]) -> Outcome | None:
    """Put what the reference returns into the plan's cases. An outcome where it fails, which is no program's fault."""
    calls = [(args, kwargs) for args, kwargs, *_ in plan["cases"]]
    job = ("calls", plan["reference"], plan["header"], plan["entry"], calls, runner.settings.output_bytes, False, False)
    expected: list[Any] = []
    with runner.program(job, {**plan, "cpu_seconds": REFERENCE_SECONDS}) as program:
        verdict, detail = guarded(_collect, program, len(calls), expected)
        outcome = runner.conclude(program, verdict, detail)
    if outcome.verdict != "passed":
        return Outcome("unsupported", f"the problem's reference does not run: {outcome.verdict}: {outcome.detail}")
    plan["cases"] = [(args, kwargs, value) for (args, kwargs), value in zip(calls, expected, strict=True)]
    plan["reference"] = None
    return None


def _collect(program: Handle, count: int, expected: list[Any]) -> tuple[str, str]:
    for index in range(count):
        message = message_of(program, f"input {index + 1}")
        if message is None:
            return "", f"input {index + 1}"
        if message[0] == "x":
            return fault(message, f"input {index + 1}")
        expected.append(rebuild(message[1], arrays=True))
    return "passed", ""


def same(args: tuple[Any, ...], expected: Any, given: Any, atol: float, oracle: str) -> bool:
    """Does EvalPlus take `given`? What it would raise on is no."""
    try:
        return _same(args, expected, given, atol, oracle)
    except (ArithmeticError, TypeError, ValueError, AttributeError, IndexError, RecursionError):
        return False


def _same(args: tuple[Any, ...], expected: Any, given: Any, atol: float, oracle: str) -> bool:
    if oracle == "root":
        return bool(abs(sum(c * math.pow(given, i) for i, c in enumerate(args[0]))) <= atol)
    exact = _ORACLES[oracle](args, expected, given, atol) if oracle else bool(given == expected)
    if atol == 0 and {type(part) for part in (expected if type(expected) in (list, tuple) else [expected])} == {float}:
        atol = FLOAT_ATOL
    return exact or (atol != 0 and type(given) is type(expected) and _close(given, expected, atol))


def _close(given: Any, expected: Any, atol: float) -> bool:
    if isinstance(expected, (list, tuple)):
        same_shape = isinstance(given, (list, tuple)) and len(given) == len(expected)
        return same_shape and all(_close(a, b, atol) for a, b in zip(given, expected, strict=True))
    if hasattr(expected, "shape"):
        return given.shape == expected.shape and _close(given.tolist(), expected.tolist(), atol)
    return bool(given == expected or abs(given - expected) <= atol + RTOL * abs(expected))


def _surface(base: float, height: float) -> int:
    """Surface of a square pyramid (MBPP 581)."""
    return round(base**2 + 2 * base * math.sqrt((base / 2) ** 2 + height**2))


def _digit_distance(a: int, b: int) -> int:
    """MBPP 558."""
    width = max(len(str(a)), len(str(b)))
    return sum(abs(int(x) - int(y)) for x, y in zip(str(a).zfill(width), str(b).zfill(width), strict=True))


_ORACLES: dict[str, Any] = {
    "anything": lambda args, expected, given, atol: True,
    "zero": lambda args, expected, given, atol: given == expected or given == 0,
    "set": lambda args, expected, given, atol: set(given) == set(expected),
    "something": lambda args, expected, given, atol: (
        (given if type(given) is bool else given is not None) == (expected is not None)
    ),
    "surface": lambda args, expected, given, atol: given == expected or abs(given - _surface(*args)) <= atol,
    "digits": lambda args, expected, given, atol: given == expected or given == _digit_distance(*args),
}
