"""The contestant's half of tests that are code: answer requests about the program's objects, one by one.

A request is `(verb, target, operands)`; the target is the number of an object that was sent as a reference, the
operands are a pickle in which such objects stand by their numbers. The answer is `["v", value]`, `["v", value, args]`
where a call has changed its arguments, or what `raised` gives.
"""

from __future__ import annotations

import builtins
import collections
import io
import marshal
import operator
import pickle
from collections.abc import Callable
from typing import Any

from crestfall.grading.sandbox.encode import Encoder
from crestfall.grading.sandbox.handover import ALONE, TOGETHER
from crestfall.grading.sandbox.harness import MODULE, Channel, fault, find, given, load, main_function

_CHANGEABLE = (
    *(list, dict, set, bytearray),
    *(collections.deque, collections.Counter, collections.defaultdict, collections.OrderedDict),
)
PLAIN = 2  # marshal version without back references: equal values give equal bytes


class _Receiver(pickle.Unpickler):
    def __init__(self, data: bytes, kept: dict[int, Any]) -> None:
        super().__init__(io.BytesIO(data))
        self._kept = kept

    def persistent_load(self, number: int) -> Any:
        return self._kept[number]


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
            answer = raised(encoder, error)
        channel.send(answer)


def raised(encoder: Encoder, error: BaseException) -> str:
    """`["x", kind, text, names of its classes, arguments]`; without the last two where they have no text form."""
    line = fault(error)
    try:
        kinds = encoder.encode([kind.__name__ for kind in type(error).__mro__])
        return f"{line[:-1]},{kinds},{encoder.encode(list(error.args))}]"
    except BaseException:
        return line


def _answer(encoder: Encoder, namespace: dict[str, Any], request: tuple[Any, ...]) -> str:
    verb, target, sent = request
    if verb == "name":
        return f'["v",{encoder.encode(_named(namespace, target))}]'
    operands = _Receiver(sent, encoder.kept).load()
    if verb == "call":
        return _call(encoder, encoder.kept[target], *operands)
    return f'["v",{encoder.encode(_VERBS[verb](encoder.kept[target], *operands))}]'


def _named(namespace: dict[str, Any], name: str) -> Any:
    """By the name that tests use, which may be one of the header's; by none, the function that is tested."""
    if not name:
        return main_function(namespace)
    try:
        return find(namespace, name)
    except NameError:
        if name not in given:
            raise
        return given[name]


def _call(encoder: Encoder, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> str:
    before = _snapshot(encoder, args, kwargs)
    value = encoder.encode(function(*args, **kwargs))
    if before is not None and _snapshot(encoder, args, kwargs) != before:
        return f'["v",{value},{encoder.encode([args, kwargs])}]'
    return f'["v",{value}]'


def _snapshot(encoder: Encoder, args: list[Any], kwargs: dict[str, Any]) -> bytes | str | None:
    """Snapshot of a call's arguments, which differs afterwards if the call changed them; None if none can be taken."""
    try:
        return marshal.dumps([args, kwargs], PLAIN)
    except ValueError:
        pass
    try:
        given = [*args, *kwargs.values()]
        return encoder.encode([arg for arg in given if type(arg) in _CHANGEABLE or hasattr(arg, "dtype")])
    except Exception:
        return None


_VERBS: dict[str, Callable[..., Any]] = {
    "attribute": getattr,
    "set attribute": setattr,
    "set item": operator.setitem,
    "item": operator.getitem,
    "length": len,
    "truth": bool,
    "iterator": iter,
    "next": next,
    "format": format,
    **{verb: getattr(builtins, verb, None) or getattr(operator, verb) for verb in (*ALONE, *TOGETHER)},
}
