"""Protocol between test code and the program under test: values out, values or references back, exceptions."""

from __future__ import annotations

import builtins
import io
import pickle
import types
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any


class ProgramFault(BaseException):
    """The program raised what no test catches: it exited, could not be compiled, or returned too much."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Unsendable(BaseException):
    """The tests hand the program an object that cannot leave this process: that says nothing of the program."""


class Remote:
    """An object of the program. Using it asks the program; comparing it does not: it equals nothing but itself.

    Only what hands over inputs is passed on, and what takes none (`str`, `int`, `-x`). `==`, `<` and arithmetic are
    passed on between two such objects alone, or a program could look at what its values are compared with.
    """

    __slots__ = ("_ask", "_number")

    def __init__(self, ask: Callable[..., Any], number: int) -> None:
        object.__setattr__(self, "_ask", ask)
        object.__setattr__(self, "_number", number)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._ask("call", self._number, list(args), kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._ask("attribute", self._number, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask("set attribute", self._number, name, value)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._ask("set item", self._number, key, value)

    def __getitem__(self, key: Any) -> Any:
        return self._ask("item", self._number, key)

    def __len__(self) -> int:
        return int(self._ask("length", self._number))

    def __bool__(self) -> bool:
        return self._ask("truth", self._number) is True

    def __iter__(self) -> Iterator[Any]:
        iterator = self._ask("iterator", self._number)
        if not isinstance(iterator, Remote):
            raise TypeError("no iterator")
        while True:
            try:
                item = self._ask("next", iterator._number)
            except StopIteration:
                return
            yield item

    def __next__(self) -> Any:
        return self._ask("next", self._number)

    def __contains__(self, item: Any) -> bool:
        return any(item == other for other in self)

    def __format__(self, spec: str) -> str:
        return str(self._ask("format", self._number, spec))


ALONE = (
    *("str", "repr", "int", "float", "complex", "index", "hash", "bytes"),
    *("abs", "neg", "pos", "invert", "round", "reversed"),
)
TOGETHER = (
    *("eq", "ne", "lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"),
    *("and_", "or_", "xor"),
)


def _passed_on(verb: str) -> Callable[..., Any]:
    def method(self: Remote, *operands: Any) -> Any:
        if verb in TOGETHER and type(operands[0]) is not Remote:
            return NotImplemented
        return self._ask(verb, self._number, *operands)

    return method


for _verb in (*ALONE, *TOGETHER):
    setattr(Remote, f"__{_verb.rstrip('_')}__", _passed_on(_verb))


def exception(kind: str, text: str, kinds: Any, args: Any, mentions: frozenset[str]) -> BaseException:
    """Exception to raise in the tests for one that the program raised: tests may expect a ValueError, say.

    Args:
        kinds: names of its class and of those that this derives from: the first that is one of Python's is raised.
        args: its arguments.
    """
    if kind == "memory":
        return MemoryError(text)
    if kind == "exit" and "SystemExit" in mentions:
        return noted(SystemExit(text.partition(": ")[2] or None), text)
    if kind != "error":
        return ProgramFault(kind, text)
    return noted(_known(kinds, args) or Exception(text), text)


def noted(error: BaseException, *notes: str) -> BaseException:
    """A note says that an exception is the program's."""
    for note in notes:
        error.add_note(note)
    return error


def _known(kinds: Any, args: Any) -> Exception | None:
    for name in kinds:
        known = vars(builtins).get(name)
        if isinstance(known, type) and issubclass(known, Exception):
            try:
                return known(*args)
            except TypeError:  # UnicodeDecodeError and the like want arguments of their own
                return None
    return None


_VIEWS: dict[type, tuple[Any, Any]] = {
    type({}.keys()): (dict.keys, dict.fromkeys),
    type({}.items()): (dict.items, dict),
}
_ITERATORS = (types.GeneratorType, zip, map, filter, enumerate, reversed)
_MOST_ITEMS = 100_000


class _Sender(pickle.Pickler):
    def persistent_id(self, value: Any) -> int | None:
        return value._number if type(value) is Remote else None

    def reducer_override(self, value: Any) -> Any:
        """An iterator, which may draw from an object of the program, goes over as one over its items."""
        if (view := _VIEWS.get(type(value))) is not None:
            return view[0], (view[1](value),)
        if not isinstance(value, _ITERATORS):
            return NotImplemented
        items = list(islice(value, _MOST_ITEMS + 1))
        if len(items) > _MOST_ITEMS:
            raise ValueError(f"an iterator of more than {_MOST_ITEMS} items")
        return iter, (items,)


def sent(operands: tuple[Any, ...]) -> bytes:
    """The operands of a request as a pickle (which goes this way alone), with remote objects by their numbers. Raises
    Unsendable."""
    file = io.BytesIO()
    try:
        _Sender(file).dump(operands)
    except MemoryError:
        raise
    except Exception as error:
        if getattr(error, "__notes__", None):  # the program raised it, of which an iterator draws
            raise
        raise Unsendable(f"the tests hand the program what cannot be sent: {error}") from None
    return file.getvalue()


def write_back(old: Any, new: Any) -> None:
    """Make lists, dicts and sets that a call has changed look changed here too, as they would in one process."""
    if isinstance(old, list) and len(old) == len(new):
        old[:] = map(_merged, old, new)
    elif isinstance(old, (list, bytearray)):
        old[:] = new
    elif isinstance(old, dict) and list(old) == list(new):
        for key in old:
            old[key] = _merged(old[key], new[key])
    elif isinstance(old, deque):
        old.clear()
        old.extend(new)
    elif isinstance(old, (dict, set)):
        old.clear()
        old.update(new)


def _merged(old: Any, new: Any) -> Any:
    """What stands in the place of a changed value: the same object, where it could have been changed itself."""
    if isinstance(old, (list, dict, set, bytearray, deque)) and type(old) is type(new):
        write_back(old, new)
    elif hasattr(old, "dtype") and getattr(old, "shape", None) == getattr(new, "shape", ()) != ():
        old[...] = new
    elif type(old) is tuple is type(new) and len(old) == len(new):
        parts = tuple(map(_merged, old, new))
        return old if all(a is b for a, b in zip(old, parts, strict=True)) else parts
    elif type(old) is not Remote and type(new) is not Remote:
        return new
    return old
