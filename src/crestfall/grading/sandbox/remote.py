"""Tests that are code, run on the trusted side: every name they do not define themselves is an object of the program,
far away.

`check(candidate)` and `assert f(x) == y` run here, in the worker; `candidate(x)` sends `x` to the contestant and gets
the value back. So the expected answers, the comparison and the verdict stay out of the program's reach whatever the
tests look like.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from types import CodeType
from typing import Any

from crestfall.grading.sandbox.decode import Malformed, parse, rebuild
from crestfall.grading.sandbox.program import Handle


class ProgramEnded(BaseException):
    """The program's process ended while an answer of it was awaited."""


class ProgramFault(BaseException):
    """The program raised what no test catches: it exited, could not be compiled, or returned too much."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Unsendable(BaseException):
    """The tests hand the program an object that cannot leave this process: our fault, not the program's."""


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
    """Requests to a program that `serve` answers."""

    def __init__(self, program: Handle) -> None:
        self._program = program
        self.calls = 0

    def opening(self) -> None:
        """Wait until the program's top level has run. Raises ProgramFault, ProgramEnded, Malformed, and as `ask`
        does."""
        self._read()

    def ask(self, verb: str, target: int | str, *operands: Any) -> Any:
        """The answer to one request; an exception of the program is raised here as the built-in exception of its
        name."""
        self.calls += verb == "call"
        request = (verb, target, *(_sendable(operand) for operand in operands))
        try:
            self._program.send(request)
        except ValueError:
            raise Unsendable("the tests pass the program a value that is not plain data") from None
        value, *changed = self._read()
        if changed and verb == "call":
            _write_back(operands[0], changed[0])
        return value

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
            raise exception(str(message[1]), str(message[2]))
        raise Malformed("unknown message")

    def _reference(self, number: int, kind: str, iterable: bool) -> Remote:
        return Remote(self, number)


def exception(kind: str, text: str) -> BaseException:
    """What a fault of the program raises in the tests: tests may expect a ValueError, say."""
    if kind == "memory":
        return MemoryError(text)
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
    error.add_note(text)
    return error


def _sendable(value: Any) -> Any:
    """`value` with remote objects replaced by the references that `serve` resolves, and subclasses left to marshal."""
    if type(value) is Remote:
        return {...: value._number}
    if type(value) is type:
        name = str(value.__name__)
        if vars(builtins).get(name) is value:
            return {...: name}
    if type(value) is list:
        return [_sendable(item) for item in value]
    if type(value) is tuple:
        return tuple(_sendable(item) for item in value)
    if type(value) is dict:
        return {key: _sendable(item) for key, item in value.items()}
    return value


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


class Names(dict[str, Any]):
    """The tests' global names. Those that neither they nor Python define are the program's; so is `entry`, even where
    Python defines it (MBPP asks for a function called `sum`)."""

    def __init__(self, conversation: Conversation, entry: str | None) -> None:
        super().__init__(__name__="__tests__")
        self._conversation = conversation
        self._entry = entry

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name) and name != self._entry:
            raise KeyError(name)
        return self._conversation.ask("name", name)


class TestCode:
    """A plan's test code, compiled once. Args: `helpers`: trusted source that stands before the program (a prompt's own
    functions)."""

    def __init__(self, source: str, entry: str | None, helpers: str) -> None:
        self._code = compile(source, "<tests>", "exec", dont_inherit=True)
        self._entry = entry
        self._helpers = self._compile_helpers(helpers)
        self._cache: dict[Any, Any] = {}

    @staticmethod
    def _compile_helpers(helpers: str) -> CodeType | None:
        """A prompt ends in the middle of a function: with a body it can be compiled, else its helpers are the program's
        own."""
        for body in ("", "\n    pass\n"):
            try:
                return compile(helpers + body, "<helpers>", "exec", dont_inherit=True)
            except (SyntaxError, ValueError):
                continue
        return None

    def run(self, conversation: Conversation) -> None:
        """Raises what a failing test raises."""
        names = Names(conversation, self._entry)
        if self._helpers is not None:
            exec(self._helpers, names)
            if self._entry is not None:
                names.pop(self._entry, None)
        names["CACHE"] = self._cache  # what test code wants to keep from program to program: a reference's answers
        exec(self._code, names)
        if self._entry is not None and "check" in names:
            names["check"](conversation.ask("name", self._entry))
