"""Tests that are code, run on the trusted side: every name they do not define themselves is an object of the program,
far away.

`check(candidate)` and `assert f(x) == y` run here, in the worker; `candidate(x)` sends `x` to the contestant and gets
the value back. So the expected answers, the comparison and the verdict stay out of the program's reach whatever the
tests look like.
"""

from __future__ import annotations

import builtins
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

from crestfall.grading.sandbox.decode import Malformed, parse, rebuild
from crestfall.grading.sandbox.program import Handle, Overflow, ZygoteDied


class ProgramEnded(BaseException):
    """The program's process ended while an answer of it was awaited."""


class ProgramFault(BaseException):
    """The program raised what no test catches: it exited, could not be compiled, or returned too much."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Unsendable(BaseException):
    """The tests hand the program an object that cannot leave this process: our fault, not the program's."""


STICKY = (ProgramEnded, ProgramFault, Unsendable, Overflow, Malformed, ZygoteDied)


class Remote:
    """An object of the program. Using it asks the program; comparing it does not: it equals nothing but itself.

    Only what hands over inputs is passed on. `==`, `<`, `in` and arithmetic are not, or a program could look at what
    its values are compared with.
    """

    __slots__ = ("_ask", "_number")

    def __init__(self, conversation: Conversation, number: int) -> None:
        object.__setattr__(self, "_ask", conversation.ask)
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


class Conversation:
    """Requests to a program that `serve` answers.

    `asked`: whether there was any; `used`: whether one told more than that a function is there. Once the program has
    ended, every further request ends the tests anew, and `over` holds how: a test's own bare `except:` hides it from
    the test alone.

    Args:
        mentions: exceptions which end a loop or a program without a word and which the tests name: they are raised as
            such.
    """

    def __init__(self, program: Handle, mentions: frozenset[str] = frozenset()) -> None:
        self._program = program
        self._mentions = mentions
        self.calls = 0
        self.asked = self.used = False
        self.over: BaseException | None = None

    def opening(self) -> None:
        """Wait until the program's top level has run. Raises ProgramFault, ProgramEnded, Malformed, and as `ask`
        does."""
        self._read()

    def ask(self, verb: str, target: int | str, *operands: Any) -> Any:
        """The answer to one request; an exception of the program is raised here as the built-in exception of its
        name."""
        if self.over is not None:
            raise self.over
        self.calls += verb == "call"
        self.asked = True
        try:
            value, *changed = self._answer((verb, target, *(_sendable(operand) for operand in operands)))
        except STICKY as error:
            self.over = error
            raise
        except BaseException as error:
            self.used = True
            if isinstance(error, StopIteration) and verb != "next" and "StopIteration" not in self._mentions:
                raise _noted(RuntimeError("the program raised StopIteration"), *error.__notes__) from None
            raise
        self.used |= verb != "name" or not isinstance(value, Remote)
        if changed and verb == "call":
            _write_back(operands[0], changed[0])
        return value

    def _answer(self, request: tuple[Any, ...]) -> list[Any]:
        try:
            self._program.send(request)
        except ValueError:
            raise Unsendable("the tests pass the program a value that is not plain data") from None
        return self._read()

    def _read(self) -> list[Any]:
        line = self._program.line()
        if line is None:
            raise ProgramEnded
        message = parse(line)
        if not isinstance(message, list) or not message:
            raise Malformed("no message")
        if message[0] == "v" and len(message) in (2, 3):
            return [rebuild(part, self._reference, arrays=True) for part in message[1:]]
        if message[0] == "x" and len(message) == 3:
            raise exception(str(message[1]), str(message[2]), self._mentions)
        raise Malformed("unknown message")

    def _reference(self, number: int, kind: str, iterable: bool) -> Remote:
        return Remote(self, number)


def exception(kind: str, text: str, mentions: frozenset[str] = frozenset()) -> BaseException:
    """What a fault of the program raises in the tests: tests may expect a ValueError, say."""
    if kind == "memory":
        return MemoryError(text)
    if kind == "exit" and "SystemExit" in mentions:
        return _noted(SystemExit(text.partition(": ")[2] or None), text)
    if kind != "error":
        return ProgramFault(kind, text)
    name, _, message = text.partition(": ")
    known = getattr(builtins, name, None)
    if isinstance(known, type) and issubclass(known, Exception):
        try:
            error: Exception = known(message)
        except TypeError:  # UnicodeDecodeError and the like want more than a message
            error = Exception(text)
    else:
        error = Exception(text)
    return _noted(error, text)


def _noted(error: BaseException, *notes: str) -> BaseException:
    """A note says that an exception is the program's."""
    for note in notes:
        error.add_note(note)
    return error


def _sendable(value: Any) -> Any:
    """`value` with what marshal does not know replaced by what `serve` resolves: remote objects by their numbers, types
    by their names, and what a program may have given by what it is made of. Anything else is left to marshal."""
    kind = type(value)
    if kind is Remote:
        return {...: value._number}
    if kind is type:
        name = str(value.__name__)
        if vars(builtins).get(name) is value:
            return {...: name}
    if kind in (list, tuple, set, frozenset):
        return kind([_sendable(item) for item in value])
    if kind is dict:
        return {_sendable_key(key): _sendable(item) for key, item in value.items()}
    if kind in (Counter, OrderedDict):
        return {...: (kind.__name__, [(_sendable(key), _sendable(item)) for key, item in value.items()])}
    if kind is deque:
        return {...: ("deque", [_sendable(item) for item in value])}
    if kind is range:
        return {...: ("range", (value.start, value.stop, value.step))}
    if kind is Decimal:
        return {...: ("Decimal", str(value))}
    if kind is Fraction:
        return {...: ("Fraction", (value.numerator, value.denominator))}
    if kind.__module__ == "numpy" and hasattr(value, "tolist"):
        return {...: ("ndarray", value.tolist())} if kind.__name__ == "ndarray" else value.tolist()
    return value


def _sendable_key(key: Any) -> Any:
    """What is hashed over there cannot be resolved from a dict."""
    sent = _sendable(key)
    if _has_reference(sent):
        raise Unsendable("the tests pass the program a dict or set with keys that are not plain data")
    return sent


def _has_reference(sent: Any) -> bool:
    if type(sent) in (tuple, frozenset):
        return any(map(_has_reference, sent))
    return type(sent) is dict


def _write_back(args: Any, changed: Any) -> None:
    """Make lists, dicts and sets that a call has changed look changed here too, as they would in one process."""
    if isinstance(args, list) and isinstance(changed, list):
        if len(args) == len(changed):
            for index, (old, new) in enumerate(zip(args, changed, strict=True)):
                if isinstance(old, (list, dict, set)) and type(old) is type(new):
                    _write_back(old, new)
                else:
                    args[index] = new
        else:
            args[:] = changed
    elif isinstance(args, (dict, set)):
        args.clear()
        args.update(changed)
