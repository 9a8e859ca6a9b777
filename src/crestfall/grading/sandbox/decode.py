"""Tagged text to values, on the trusted side. The text comes from a hostile process: every form is checked, nothing is
evaluated.

The result holds instances of exact built-in types only (and `Reference`), so that comparing them runs no code of a
program.
"""

from __future__ import annotations

import datetime
import json
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any


class Malformed(ValueError):
    """A message that `encode` cannot have written: the program wrote to the channel itself."""


@dataclass(frozen=True, eq=False)
class Reference:
    """An object that stayed in the contestant. Equal to nothing but itself."""

    number: int
    kind: str
    iterable: bool


def parse(line: bytes) -> Any:
    """One received line to JSON data. Raises Malformed."""
    try:
        return json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise Malformed("not a line of this protocol") from error


def rebuild(data: Any, refer: Callable[[int, str, bool], Any] = Reference, arrays: bool = False) -> Any:
    """The value that JSON data from `encode` stands for.

    Args:
        arrays: numpy's may be among them (calls give lists in their place).

    Raises:
        Malformed: data that `encode` would not have written.
        MemoryError: more than this process may use.
    """
    try:
        return _Rebuilder(refer, arrays).value(data)
    except (MemoryError, Malformed):
        raise
    except Exception as error:
        raise Malformed(f"{type(error).__name__} in a value") from error


class _Rebuilder:
    def __init__(self, refer: Callable[[int, str, bool], Any], arrays: bool) -> None:
        self._refer, self._arrays = refer, arrays

    def value(self, data: Any) -> Any:
        if type(data) is list:
            return [self.value(item) for item in data]
        if type(data) is not dict:
            return data
        if "n" in data:
            return self._named(data["n"], self.value(data["v"]))
        if "r" in data:
            return self._refer(int(data["r"]), str(data["k"])[:80], bool(data["it"]))
        ((tag, body),) = data.items()
        if tag in _SCALARS:
            return _SCALARS[tag](body)
        items = self.value(_checked(body))
        if tag == "d":
            return _mapping({}, items)
        if tag == "t":
            return tuple(items)
        if tag == "q":
            return deque(items)
        if tag == "c":
            return complex(*_all(float, items))
        if tag in ("s", "z"):
            filled = set()
            for item in items:
                filled.add(item)
            return filled if tag == "s" else frozenset(filled)
        raise Malformed(f"unknown tag {tag[:20]!r}")

    def _named(self, name: str, value: Any) -> Any:
        if name == "Counter":
            return _mapping(Counter(), value)
        if name == "OrderedDict":
            return _mapping(OrderedDict(), value)
        if name == "range":
            return range(*_all(int, value))
        if name == "Decimal":
            (text,) = _all(str, [value])
            return Decimal(text)
        if name == "Fraction":
            numerator, denominator = _all(int, value)
            return Fraction(numerator, denominator)
        if name == "ndarray" and self._arrays:
            return _array(*value)
        if name == "defaultdict":
            factory, pairs = value
            return _mapping(defaultdict(_FACTORIES[factory]), pairs)
        if name in _TIMES:
            return _TIMES[name](*_all(int, value))
        raise Malformed(f"unknown name {str(name)[:20]!r}")


_FACTORIES = {kind.__name__: kind for kind in (int, float, str, list, dict, set, tuple, bool)}
_TIMES: dict[str, Callable[..., Any]] = {
    "date": datetime.date,
    "datetime": datetime.datetime,
    "time": datetime.time,
    "timedelta": datetime.timedelta,
}


def _array(kind: str, items: Any) -> Any:
    import numpy

    if not re.fullmatch("bool|object|(u?int|float|complex)[0-9]{1,3}|<[US][0-9]{1,4}", kind):
        raise Malformed("an array of an unknown type")
    return numpy.array(items, dtype=kind)


_SCALARS: dict[str, Callable[[str], Any]] = {
    "i": lambda text: int(text, 16),
    "f": float,
    "y": bytes.fromhex,
    "ya": bytearray.fromhex,
}


def _checked(body: Any) -> list[Any]:
    if type(body) is not list:
        raise Malformed("a container without a list")
    return body


def _mapping(into: Any, pairs: list[Any]) -> Any:
    for key, value in pairs:
        into[key] = value
    return into


def _all(kind: type, items: Any) -> list[Any]:
    """`items`, all of exactly this type: what builds a number from text would build one of any size."""
    if type(items) is not list or any(type(item) is not kind for item in items):
        raise Malformed(f"something else where {kind.__name__} is due")
    return items
