"""The contestant's half of tests that are code: answer requests about the program's objects, one by one.

A request is `(verb, target, *operands)`; the target is the number of an object that was sent as a reference. The answer
is `["v", value]`,
`["v", value, args]` where a call has changed its arguments, or `["x", kind, text, exception name]`. Operands may hold
references back: `{...: number}` (a dict whose key is Ellipsis, which no test value is), or name a type: `{...: "int"}`.
"""

from __future__ import annotations

import builtins
import marshal
import operator
from collections.abc import Callable
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
    if type(value) is list:
        return [_resolve(item, kept) for item in value]
    if type(value) is tuple:
        return tuple([_resolve(item, kept) for item in value])
    if type(value) is dict:
        if ... in value:
            number = value[...]
            return getattr(builtins, number) if type(number) is str else kept[number]
        return {key: _resolve(item, kept) for key, item in value.items()}
    return value


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
