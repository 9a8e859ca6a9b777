"""The contestant's half of tests that are code: answer requests about the program's objects, one by one.

A request is `(verb, target, *operands)`; the target is the number of an object that was sent as a reference. The answer
is `["v", value]`, `["v", value, args]` where a call has changed its arguments, or `["x", kind, text, exception name]`.
Operands may hold references back: `{...: number}` (a dict whose key is Ellipsis, which no test value is), name a type:
`{...: "int"}`, or say what a value is made of: `{...: ("Decimal", "0.1")}`.
"""

from __future__ import annotations

import builtins
import collections
import importlib
import marshal
import operator
from collections.abc import Callable
from types import FunctionType
from typing import Any

from crestfall.grading.sandbox.encode import Encoder
from crestfall.grading.sandbox.harness import MODULE, Channel, fault, find, load

PLAIN = 2  # marshal version without back references: equal values give equal bytes


def serve(channel: Channel, source: str, header: str, budget: int) -> None:
    """Load the program, then answer until the trusted side hangs up."""
    namespace = load(source, MODULE, header)
    if isinstance(namespace, str):
        channel.send(namespace)
        return
    channel.send('["v",null]')
    encoder = Encoder(budget, listed=False)
    while True:
        request = channel.receive()
        try:
            answer = _answer(encoder, namespace, request)
        except BaseException as error:
            answer = fault(error)
        channel.send(answer)


def _answer(encoder: Encoder, namespace: dict[str, Any], request: tuple[Any, ...]) -> str:
    verb, target, *operands = request
    if verb == "name":
        return f'["v",{encoder.encode(find(namespace, target))}]'
    if verb == "functions":
        own = [name for name, v in namespace.items() if isinstance(v, FunctionType) and v.__module__ == MODULE]
        return f'["v",{encoder.encode(own)}]'
    operands = _resolve(operands, encoder.kept)
    if verb == "call":
        return _call(encoder, encoder.kept[target], *operands)
    return f'["v",{encoder.encode(_VERBS[verb](encoder.kept[target], *operands))}]'


def _call(encoder: Encoder, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> str:
    before = _snapshot(args)
    value = encoder.encode(function(*args, **kwargs))
    if before is not None and _snapshot(args) != before:
        return f'["v",{value},{encoder.encode(args)}]'
    return f'["v",{value}]'


def _snapshot(args: list[Any]) -> bytes | None:
    try:
        return marshal.dumps(args, PLAIN)
    except ValueError:
        return None


def _resolve(value: Any, kept: dict[int, Any]) -> Any:
    """`value` with references replaced by the objects that they stand for."""
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        return kind([_resolve(item, kept) for item in value])
    if kind is dict:
        if ... in value:
            return _referred(value[...], kept)
        return {key: _resolve(item, kept) for key, item in value.items()}
    return value


def _referred(to: Any, kept: dict[int, Any]) -> Any:
    """An object by its number, a type by its name, or a value by (class, what it is made of)."""
    if type(to) is str:
        return getattr(builtins, to)
    if type(to) is not tuple:
        return kept[to]
    name, parts = to[0], _resolve(to[1], kept)
    if name in ("Counter", "OrderedDict"):
        return getattr(collections, name)(dict(parts))
    if name == "deque":
        return collections.deque(parts)
    if name == "range":
        return range(*parts)
    if name == "Decimal":
        return importlib.import_module("decimal").Decimal(parts)
    if name == "Fraction":
        return importlib.import_module("fractions").Fraction(*parts)
    return importlib.import_module("numpy").array(parts)


_VERBS: dict[str, Callable[..., Any]] = {
    "attribute": getattr,
    "set attribute": setattr,
    "set item": operator.setitem,
    "item": operator.getitem,
    "length": len,
    "truth": bool,
    "iterator": iter,
    "next": next,
}
