"""When does what a program gave count as what was expected? The rules, on the trusted side, over exact built-in
types."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

_NUMBERS = (int, float, Decimal, Fraction)


def equal(expected: Any, given: Any, mode: str = "exact", tolerance: float = 0.0) -> bool:
    """Does `given` count as `expected`? Values that Python cannot compare are not equal.

    Args:
        mode: `exact`: Python's `==` (1 == 1.0 == True, a list is no tuple), except that NaN equals NaN. `json`: as JSON
        would
            write both (tuples are lists, dictionary keys are strings, and a float never equals a bool).
        tolerance: floats may differ by this much, relative or absolute, anywhere inside the value; 0: not at all.
    """
    try:
        if mode == "json":
            expected, given = as_json(expected), as_json(given)
        return (expected == given and not tolerance) or _close(expected, given, tolerance)
    except (RecursionError, ArithmeticError, TypeError, ValueError):  # deep nesting, a signalling NaN, ...
        return False


def output_difference(expected: str, given: str, tolerance: float = 0.0) -> str | None:
    """The first difference between printed and expected output; None if there is none.

    Lines are compared without trailing blanks, trailing empty lines are dropped. Where that fails the outputs still
    agree if they are the same tokens, a number with a fraction counting as its value (within `tolerance`).
    """
    wanted, got = _lines(expected), _lines(given)
    if wanted == got:
        return None
    tokens, others = expected.split(), given.split()
    if len(tokens) == len(others) and all(map(_same_token, tokens, others, [tolerance] * len(tokens))):
        return None
    for number, (a, b) in enumerate(zip(wanted, got, strict=False), 1):
        if a != b:
            return f"line {number} is {b[:60]!r}, expected {a[:60]!r}"
    return f"{len(got)} lines, expected {len(wanted)}"


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _same_token(expected: str, given: str, tolerance: float) -> bool:
    if expected == given:
        return True
    if not ("." in expected or "e" in expected.lower() or "." in given):
        return False
    try:
        a, b = float(expected), float(given)
    except ValueError:
        return False
    return _near(a, b, tolerance)


def as_json(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {_json_key(key): as_json(item) for key, item in value.items()}
    return value


def _json_key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else "null" if key is None else str(key)


def _close(expected: Any, given: Any, tolerance: float) -> bool:
    if isinstance(expected, float) or (tolerance and isinstance(given, (float, Decimal, Fraction))):
        if not isinstance(expected, _NUMBERS) or not isinstance(given, _NUMBERS):
            return False
        if math.isnan(expected):
            return math.isnan(given)
        return _near(expected, given, tolerance)
    if type(expected) is type(given):
        if isinstance(expected, (list, tuple)):
            pairs = zip(expected, given, strict=False)
            return len(expected) == len(given) and all(_close(a, b, tolerance) for a, b in pairs)
        if isinstance(expected, dict):
            return expected.keys() == given.keys() and all(
                _close(value, given[key], tolerance) for key, value in expected.items()
            )
    return bool(expected == given)


def _near(a: Any, b: Any, tolerance: float) -> bool:
    try:
        return a == b or math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)
    except OverflowError:  # an int beyond all floats, which is near none
        return False
