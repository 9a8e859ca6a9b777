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
        if type(body) is not list:
            raise Malformed("a container without a list")
        items = self.value(body)
        return _CONTAINERS[tag](items)

    def _named(self, name: str, value: Any) -> Any:
        if name == "ndarray" and not self._arrays:
            raise Malformed("an array where none is due")
        return _NAMED[name](value)


_FACTORIES = {kind.__name__: kind for kind in (int, float, str, list, dict, set, tuple, bool)}
_CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {
    "d": lambda pairs: _mapping({}, pairs),
    "t": tuple,
    "q": deque,
    "c": lambda parts: complex(*_all(float, parts)),
    "s": set,
    "z": frozenset,
}
_NAMED: dict[str, Callable[[Any], Any]] = {
    "Counter": lambda pairs: _mapping(Counter(), pairs),
    "OrderedDict": lambda pairs: _mapping(OrderedDict(), pairs),
    "defaultdict": lambda parts: _mapping(defaultdict(_FACTORIES[parts[0]]), parts[1]),
    "dict_keys": lambda items: dict.fromkeys(items).keys(),
    "dict_items": lambda pairs: dict(pairs).items(),
    "range": lambda parts: range(*_all(int, parts)),
    "Decimal": lambda text: Decimal(*_all(str, [text])),
    "Fraction": lambda parts: Fraction(*_all(int, parts)),
    "ndarray": lambda parts: _array(*parts),
    "date": lambda parts: datetime.date(*_all(int, parts)),
    "datetime": lambda parts: datetime.datetime(*_all(int, parts)),
    "time": lambda parts: datetime.time(*_all(int, parts)),
    "timedelta": lambda parts: datetime.timedelta(*_all(int, parts)),
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


def _mapping(into: Any, pairs: list[Any]) -> Any:
    for key, value in pairs:
        into[key] = value
    return into


def _all(kind: type, items: Any) -> list[Any]:
    """`items`, all of exactly this type: what builds a number from text would build one of any size."""
    if type(items) is not list or any(type(item) is not kind for item in items):
        raise Malformed(f"something else where {kind.__name__} is due")
    return items
