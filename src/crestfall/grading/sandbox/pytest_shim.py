"""The part of pytest that test files of one program use, for where pytest itself is not among the allowed packages."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from crestfall.grading.sandbox.assertions import Unsupported
from crestfall.grading.sandbox.fixtures import Capture, MonkeyPatch


class ExceptionInfo:
    """Object that `with raises(...) as info` binds."""

    value: Any = None

    @property
    def type(self) -> Any:
        return type(self.value)

    def match(self, pattern: str) -> bool:
        assert re.search(pattern, str(self.value)), f"{pattern!r} is not in {str(self.value)!r}"
        return True


@contextlib.contextmanager
def _raises(expected: Any, match: str | None = None) -> Iterator[ExceptionInfo]:
    info = ExceptionInfo()
    try:
        yield info
    except expected as error:
        info.value = error
        if match is not None:
            info.match(match)
        return
    raise AssertionError(f"did not raise {getattr(expected, '__name__', expected)}")


def raises(expected: Any, *args: Any, match: str | None = None, **kwargs: Any) -> Any:
    """Replacement of `pytest.raises`: a context, or called with a function and its arguments."""
    if not args:
        return _raises(expected, match)
    function, *rest = args
    with _raises(expected) as info:
        function(*rest, **kwargs)
    return info


class approx:
    """Replacement of `pytest.approx`, for numbers and for sequences and dicts of them."""

    def __init__(self, expected: Any, rel: float | None = None, abs: float | None = None, nan_ok: bool = False) -> None:
        self.expected, self.rel, self.abs, self.nan_ok = expected, rel, abs, nan_ok

    def __eq__(self, given: Any) -> bool:
        return self._close(self.expected, given)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"approx({self.expected!r})"

    def _close(self, expected: Any, given: Any) -> bool:
        if isinstance(expected, dict):
            return (
                isinstance(given, dict)
                and expected.keys() == given.keys()
                and all(self._close(value, given[key]) for key, value in expected.items())
            )
        if isinstance(expected, (list, tuple)) or hasattr(expected, "tolist"):
            return hasattr(given, "__len__") and len(expected) == len(given) and all(map(self._close, expected, given))
        if not isinstance(expected, (int, float, complex)) or isinstance(expected, bool):
            return bool(expected == given)
        if expected == given:
            return True
        if isinstance(given, (str, bytes)) or not hasattr(given, "__float__"):
            return False
        if expected != expected or given != given:
            return self.nan_ok and expected != expected and given != given
        absolute = 1e-12 if self.abs is None else self.abs
        relative = (1e-6 if self.abs is None else 0.0) if self.rel is None else self.rel
        return bool(abs(given - expected) <= max(absolute, relative * abs(expected)))


def parametrize(names: Any, values: Any, ids: Any = None, **_: Any) -> Callable[[Any], Any]:
    keys = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)

    def mark_it(function: Any) -> Any:
        one = len(keys) == 1
        rows = [row.values if isinstance(row, _Param) else (row,) if one else tuple(row) for row in values]
        sets = [dict(zip(keys, row, strict=True)) for row in rows]
        function.__parameters__ = [sets, *getattr(function, "__parameters__", [])]
        return function

    return mark_it


class _Param:
    def __init__(self, *values: Any, **_: Any) -> None:
        self.values = values


class _Marks:
    """`pytest.mark`: `parametrize`, `skip`, `skipif`, `usefixtures`, and any other mark, which changes nothing."""

    parametrize = staticmethod(parametrize)

    @staticmethod
    def skipif(*conditions: Any, **_: Any) -> Any:
        if any(isinstance(condition, str) for condition in conditions):
            raise Unsupported("the mark skipif with a condition in a string")
        return _mark("__skip__", True) if any(conditions) else _mark("__marked__", True)

    @staticmethod
    def usefixtures(*names: str) -> Any:
        return _mark("__uses__", names)

    def __getattr__(self, name: str) -> Any:
        if name == "xfail":
            raise Unsupported("the mark xfail")
        mark_it = _mark("__skip__" if name == "skip" else "__marked__", True)
        return lambda *args, **_: mark_it(args[0]) if len(args) == 1 and callable(args[0]) else mark_it


def _mark(name: str, value: Any) -> Callable[[Any], Any]:
    def mark_it(test: Any) -> Any:
        setattr(test, name, value)
        return test

    return mark_it


def fixture(function: Any = None, **options: Any) -> Any:
    """`options`: `scope`, `params`, `autouse`, `name`."""
    known = {"scope": "function", "params": None, "autouse": False, "name": None, **options}
    return _mark("__fixture__", known)(function) if function is not None else _mark("__fixture__", known)


@contextlib.contextmanager
def warns(expected: Any = Warning, *, match: str | None = None) -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield seen
    found = [str(warning.message) for warning in seen if issubclass(warning.category, expected)]
    assert any(match is None or re.search(match, text) for text in found), f"did not warn of {expected}: {found}"


def importorskip(name: str, *_: Any, **__: Any) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Unsupported(f"the tests need {name}, which is not there") from None


class Skipped(Exception):
    """Raised by `pytest.skip`."""


def skip(reason: str = "") -> None:
    raise Skipped(reason)


def fail(reason: str = "", **_: Any) -> None:
    raise AssertionError(reason)


skip.Exception = Skipped  # type: ignore[attr-defined]


def provide() -> None:
    """Stand in for pytest where it cannot be imported."""
    if "pytest" not in sys.modules and absent():
        sys.modules["pytest"] = module()


@functools.cache
def absent() -> bool:
    """Whether pytest is not installed. The zygote checks for all forks: it takes a tenth of a short program's time."""
    return importlib.util.find_spec("pytest") is None


_PUBLIC = ("raises", "approx", "fixture", "skip", "fail", "warns", "importorskip")


def module() -> types.ModuleType:
    """Module that `import pytest` returns."""
    pytest = types.ModuleType("pytest")
    vars(pytest).update({name: globals()[name] for name in _PUBLIC})
    vars(pytest).update(mark=_Marks(), param=_Param, main=lambda *args, **kwargs: 0)
    vars(pytest).update(MonkeyPatch=MonkeyPatch, CaptureFixture=Capture)
    return pytest
