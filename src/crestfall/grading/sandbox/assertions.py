"""Outcomes of the assertions in test code, reported by the calls that `rewrite` inserts."""

from __future__ import annotations

from typing import Any, NoReturn

HOLD, NOTE, ALLCLOSE, LEAVE = "__hold__", "__note__", "__allclose__", "__leave__"


class Unsupported(Exception):
    """The tests are of a style that is not supported: that says nothing of the program."""


class Left(SystemExit):
    """The tests themselves have ended: a program that exits ends none."""


def leave(code: Any = None) -> NoReturn:
    raise Left(code)


class Assertions:
    """`checks`: how many held. `held`: those since the last one that did not. `results`: (name, error) of each test.

    Args:
        every: assertions at the top level are tests, which are told one by one.
    """

    def __init__(self, every: bool = False) -> None:
        self.checks = self.held = 0
        self.failed = False
        self.results: list[tuple[str, BaseException | None]] = []
        self._every = every

    def hold(self, value: Any) -> bool:
        truth = bool(value)
        self.checks += truth
        self.held = self.held + 1 if truth else 0
        self.failed |= not truth
        if truth and self._every:
            self.results.append((f"assertion {len(self.results) + 1}", None))
        return truth

    def note(self, error: BaseException, line: int) -> None:
        """Record a failed assertion after which the tests continue."""
        self.results.append((f"assertion {len(self.results) + 1} (line {line})", error))

    @property
    def swallowed(self) -> bool:
        """Whether an assertion failed, the tests continued, and no later assertion held."""
        noted = any(error is not None for _, error in self.results)
        return self.failed and not self.held and not noted

    def names(self) -> dict[str, Any]:
        """Functions that rewritten tests call, by name."""
        return {HOLD: self.hold, NOTE: self.note, ALLCLOSE: allclose, LEAVE: leave}


def allclose(strict: bool, function: Any, given: Any, expected: Any, *args: Any, **kwargs: Any) -> Any:
    """numpy's allclose would compare an empty array with anything and find no difference. `strict`: types and lengths
    have to be equal, as EvalPlus's own checker has it."""
    if strict and (type(given) is not type(expected) or _length(given) != _length(expected)):
        return False
    if (_length(given) == 0) != (_length(expected) == 0):
        return False
    return function(given, expected, *args, **kwargs)


def _length(value: Any) -> int | None:
    try:
        return len(value)
    except TypeError:
        return None
