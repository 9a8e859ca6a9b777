"""Values to tagged text, in the contestant. Plain JSON where JSON says enough, `{"tag": ...}` where it does not.

    None True False ints < 2**63 finite floats str list    as JSON has them
    {"i": "0x..."} a large int   {"f": "nan"} a float that JSON lacks   {"c": [re, im]} complex   {"y": hex} bytes
    {"ya": hex} bytearray {"t": [...]} tuple   {"s": [...]} set   {"z": [...]} frozenset   {"d": [[key, value], ...]}
    dict   {"q": [...]} deque {"n": "Counter" | "OrderedDict" | "Decimal" | "Fraction" | "range", "v": ...}
    {"r": number, "k": class name, "it": 0 | 1} anything else: a reference to an object that stays in this process

Subclasses are encoded by the value of the built-in type they derive from, read through that type's own methods: a class
that overrides `__eq__`, `__iter__` or `__repr__` cannot lie about what it holds.
"""

from __future__ import annotations

import sys
from _json import encode_basestring_ascii
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

MAX_DEPTH = 200

_CLOCK = ("hour", "minute", "second", "microsecond")
_TIME_PARTS = {
    "date": ("year", "month", "day"),
    "datetime": ("year", "month", "day", *_CLOCK),
    "time": _CLOCK,
    "timedelta": ("days", "seconds", "microseconds"),
}
_float_text = float.__repr__
_views: tuple[type, ...] = (type({}.keys()), type({}.items()))


class TooLarge(Exception):
    """The encoded value would exceed the size that is left."""


class Encoder:
    """Encodes values into text of at most `budget` characters each and keeps what has no text form, by number.

    Args:
        budget: size limit of one encoded value.
        listed: turn iterators and views into lists (call-based formats, where a generator stands for what it yields).
    """

    def __init__(self, budget: int, listed: bool) -> None:
        self.kept: dict[int, Any] = {}
        self._budget = budget
        self._listed = listed
        self._left = budget

    def encode(self, value: Any) -> str:
        """Raises: TooLarge; whatever an iterator raises while it is drawn."""
        self._left = self._budget
        return self._text(value, 0)

    def keep(self, value: Any) -> int:
        number = len(self.kept)
        self.kept[number] = value
        return number

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise TooLarge

    def _text(self, value: Any, depth: int) -> str:
        if value is None:
            return "null"
        if value is True:
            return "true"
        if value is False:
            return "false"
        kind = type(value)
        if kind is int or issubclass(kind, int):
            return self._int(value)
        if kind is str or issubclass(kind, str):
            self._spend(str.__len__(value))
            text = encode_basestring_ascii(str.__str__(value))
            self._spend(len(text))
            return text
        if kind is float or issubclass(kind, float):
            self._spend(24)
            text = _float_text(value)
            return f'{{"f":"{text}"}}' if "n" in text else text
        if depth > MAX_DEPTH:
            return self._reference(value)
        if kind is list or issubclass(kind, list):
            return self._sequence(list.__iter__(value), depth)
        if issubclass(kind, tuple):
            return f'{{"t":{self._sequence(tuple.__iter__(value), depth)}}}'
        if issubclass(kind, dict):
            return self._dict(value, kind, depth)
        if issubclass(kind, set):
            return f'{{"s":{self._sequence(set.__iter__(value), depth)}}}'
        if issubclass(kind, frozenset):
            return f'{{"z":{self._sequence(frozenset.__iter__(value), depth)}}}'
        return self._rarer(value, kind, depth)

    def _int(self, value: Any) -> str:
        bits = int.bit_length(value)
        self._spend(bits // 4 + 4)
        return int.__repr__(value) if bits < 63 else f'{{"i":"{int.__format__(value, "#x")}"}}'

    def _sequence(self, items: Any, depth: int) -> str:
        parts = []
        for item in items:
            self._spend(1)
            parts.append(self._text(item, depth + 1))
        return f"[{','.join(parts)}]"

    def _dict(self, value: Any, kind: type, depth: int) -> str:
        pairs = self._sequence(dict.items(value), depth)
        if kind is defaultdict:
            return self._defaultdict(value, pairs)
        if kind is Counter or kind is OrderedDict:
            return f'{{"n":"{kind.__name__}","v":{pairs}}}'
        return f'{{"d":{pairs}}}'

    def _defaultdict(self, value: Any, pairs: str) -> str:
        factory = value.default_factory
        if factory in (int, float, str, list, dict, set, tuple, bool):
            return f'{{"n":"defaultdict","v":["{factory.__name__}",{pairs}]}}'
        return f'{{"d":{pairs}}}'

    def _rarer(self, value: Any, kind: type, depth: int) -> str:
        if issubclass(kind, (bytes, bytearray)):
            base = bytes if issubclass(kind, bytes) else bytearray
            self._spend(2 * base.__len__(value))
            return f'{{"{"y" if base is bytes else "ya"}":"{base.hex(value)}"}}'
        if issubclass(kind, complex):
            parts = (complex.real.__get__(value), complex.imag.__get__(value))
            return f'{{"c":{self._sequence(parts, depth)}}}'
        if kind is range:
            return f'{{"n":"range","v":{self._sequence((value.start, value.stop, value.step), depth)}}}'
        if issubclass(kind, deque):
            return f'{{"q":{self._sequence(deque.__iter__(value), depth)}}}'
        if kind in _views and not self._listed:
            return f'{{"n":"{kind.__name__}","v":{self._sequence(iter(value), depth)}}}'
        if self._listed and hasattr(kind, "__iter__") and (hasattr(kind, "__next__") or kind.__module__ == "builtins"):
            return self._sequence(iter(value), depth)
        return self._number_class(value, kind, depth) or self._reference(value)

    def _number_class(self, value: Any, kind: type, depth: int) -> str | None:
        """Decimal and Fraction, and numpy's scalars and arrays, if the program has imported what defines them."""
        modules = sys.modules
        decimal, fractions, numpy = modules.get("decimal"), modules.get("fractions"), modules.get("numpy")
        if decimal is not None and kind is getattr(decimal, "Decimal", None):
            return f'{{"n":"Decimal","v":{self._text(str(value), depth)}}}'
        if fractions is not None and kind is getattr(fractions, "Fraction", None):
            return f'{{"n":"Fraction","v":{self._sequence((value.numerator, value.denominator), depth)}}}'
        if numpy is not None and isinstance(value, (numpy.generic, numpy.ndarray)):
            tag = "scalar" if isinstance(value, numpy.generic) else "ndarray"
            plain = value.item() if tag == "scalar" else value.tolist()
            if tag == "scalar" or self._listed:
                return self._text(plain, depth + 1)
            kind_of = encode_basestring_ascii(str(value.dtype))
            return f'{{"n":"ndarray","v":[{kind_of},{self._text(plain, depth + 1)}]}}'
        return self._time_class(value, kind, depth)

    def _time_class(self, value: Any, kind: type, depth: int) -> str | None:
        """datetime's own classes, without a time zone."""
        datetime = sys.modules.get("datetime")
        if datetime is None or kind not in (datetime.date, datetime.datetime, datetime.time, datetime.timedelta):
            return None
        if getattr(value, "tzinfo", None) is not None:
            return None
        parts = _TIME_PARTS[kind.__name__]
        return f'{{"n":"{kind.__name__}","v":{self._sequence([getattr(value, part) for part in parts], depth)}}}'

    def _reference(self, value: Any) -> str:
        self._spend(64)
        kind = type(value)
        name = encode_basestring_ascii(str(kind.__name__)[:80])
        return f'{{"r":{self.keep(value)},"k":{name},"it":{int(hasattr(kind, "__iter__"))}}}'
