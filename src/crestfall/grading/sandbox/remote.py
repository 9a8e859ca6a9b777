"""Tests that are code, run on the trusted side: every name they do not define themselves is an object of the program,
far away.

`check(candidate)` and `assert f(x) == y` run here, in the worker; `candidate(x)` sends `x` to the contestant and gets
the value back. So the expected answers, the comparison and the verdict stay out of the program's reach whatever the
tests look like.
"""

from __future__ import annotations

from typing import Any

from crestfall.grading.sandbox.decode import Malformed, parse, rebuild
from crestfall.grading.sandbox.handover import ProgramFault, Remote, Unsendable, exception, noted, sent, write_back
from crestfall.grading.sandbox.program import Handle, Overflow, Unstarted, ZygoteDied


class ProgramEnded(BaseException):
    """The program's process ended while an answer of it was awaited."""


STICKY = (ProgramEnded, ProgramFault, Unsendable, Overflow, Malformed, ZygoteDied, Unstarted)


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
            self._program.send((verb, target, sent(operands)))
            value, *changed = self._read()
        except STICKY as error:
            self.over = error
            raise
        except BaseException as error:
            self.used = True
            if isinstance(error, StopIteration) and verb != "next" and "StopIteration" not in self._mentions:
                raise noted(RuntimeError("the program raised StopIteration"), *error.__notes__) from None
            raise
        self.used |= verb != "name" or not isinstance(value, Remote)
        if changed and verb == "call":
            write_back(list(operands), changed[0])
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
        if message[0] == "x" and len(message) in (3, 5):
            kinds, args = rebuild(message[3:]) if len(message) == 5 else ([], ())
            raise exception(str(message[1]), str(message[2]), kinds, args, self._mentions)
        raise Malformed("unknown message")

    def _reference(self, number: int, kind: str, iterable: bool) -> Remote:
        return Remote(self.ask, number)
