"""The part of pytest that small test files use, for where pytest itself is not among the allowed packages: `raises`,
`approx`, `mark.parametrize`, `fixture`, and the fixtures `capsys`, `monkeypatch` and `tmp_path`."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import inspect
import io
import itertools
import os
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from crestfall.grading.sandbox.assertions import Unsupported

_MISSING = object()
# Fixtures of pytest and its plugins that are not here: a test's one argument of another name is the function it tests.
FOREIGN = {"benchmark", "caplog", "capfd", "mocker", "recwarn", "request", "tmp_path_factory"}


class ExceptionInfo:
    """What `with raises(...) as info` binds."""

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
    """`pytest.mark`: parametrize, and any other mark, which changes nothing."""

    parametrize = staticmethod(parametrize)

    def __getattr__(self, name: str) -> Any:
        if name in ("skip", "skipif", "xfail"):
            raise Unsupported(f"the mark {name}")

        def mark_it(*args: Any, **_: Any) -> Any:
            return args[0] if len(args) == 1 and callable(args[0]) else (lambda function: function)

        return mark_it


def fixture(function: Any = None, **_: Any) -> Any:
    if function is None:
        return fixture
    function.__fixture__ = True
    return function


class Capture:
    """The fixture `capsys`."""

    def __init__(self) -> None:
        self._new()
        self._saved = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self._out, self._err

    def _new(self) -> None:
        self._out, self._err = io.StringIO(), io.StringIO()

    def readouterr(self) -> Any:
        captured = _Captured(self._out.getvalue(), self._err.getvalue())
        for stream in (self._out, self._err):
            stream.seek(0)
            stream.truncate()
        return captured

    def undo_all(self) -> None:
        sys.stdout, sys.stderr = self._saved


class _Captured(tuple):  # type: ignore[type-arg]
    def __new__(cls, out: str, err: str) -> _Captured:
        return super().__new__(cls, (out, err))

    out = property(lambda self: self[0])
    err = property(lambda self: self[1])


class MonkeyPatch:
    """The fixture `monkeypatch`."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], Any]] = []

    def setattr(self, target: Any, name: Any, value: Any = _MISSING, raising: bool = True) -> None:
        if value is _MISSING:
            path, _, attribute = target.rpartition(".")
            target, name, value = _imported(path), attribute, name
        old = getattr(target, name, _MISSING)
        self._undo.append(functools.partial(_restore, target, name, old))
        setattr(target, name, value)

    def delattr(self, target: Any, name: str, raising: bool = True) -> None:
        self._undo.append(functools.partial(setattr, target, name, getattr(target, name)))
        delattr(target, name)

    def setitem(self, mapping: Any, key: Any, value: Any) -> None:
        if key in mapping:
            self._undo.append(functools.partial(mapping.__setitem__, key, mapping[key]))
        else:
            self._undo.append(functools.partial(mapping.pop, key, None))
        mapping[key] = value

    def delitem(self, mapping: Any, key: Any, raising: bool = True) -> None:
        self._undo.append(functools.partial(mapping.__setitem__, key, mapping[key]))
        del mapping[key]

    def setenv(self, name: str, value: str) -> None:
        self.setitem(os.environ, name, str(value))

    def delenv(self, name: str, raising: bool = True) -> None:
        if name in os.environ:
            self.delitem(os.environ, name)

    def chdir(self, path: Any) -> None:
        self._undo.append(functools.partial(os.chdir, os.getcwd()))
        os.chdir(path)

    def undo_all(self) -> None:
        for undo in reversed(self._undo):
            undo()


def _restore(target: Any, name: str, old: Any) -> None:
    delattr(target, name) if old is _MISSING else setattr(target, name, old)


def _imported(path: str) -> Any:
    import importlib

    for count in range(path.count(".") + 1, 0, -1):
        head, rest = path.split(".")[:count], path.split(".")[count:]
        with contextlib.suppress(ImportError):
            return functools.reduce(getattr, rest, importlib.import_module(".".join(head)))
    raise ImportError(path)


def parameter_sets(function: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(suffix of its name, arguments) for each call of a test function."""
    levels = getattr(function, "__parameters__", [])
    for number, row in enumerate(itertools.product(*levels)):
        values = {name: value for part in row for name, value in part.items()}
        yield (f"[{number}]" if levels else ""), values


def call(function: Any, values: dict[str, Any], candidate: Callable[[], Any] | None = None) -> None:
    """Call a test function with its parameters and fixtures.

    Args:
        candidate: gives what the one argument stands for that is neither.

    Raises: Unsupported: an unknown fixture.
    """
    parameters = inspect.signature(function).parameters.values()
    wanted = [
        p.name for p in parameters if (p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD) or p.name in values
    ]
    with contextlib.ExitStack() as stack:
        fixtures = Fixtures(getattr(function, "__globals__", {}), values, stack)
        if candidate is not None and len(wanted) == 1 and wanted[0] not in FOREIGN and not fixtures.known(wanted[0]):
            result = function(candidate())
        else:
            result = function(**{name: fixtures.get(name) for name in wanted})
        if inspect.iscoroutine(result):
            import asyncio

            asyncio.run(result)


class Fixtures:
    """The values of fixtures within one test."""

    def __init__(self, namespace: Mapping[str, Any], values: dict[str, Any], stack: contextlib.ExitStack) -> None:
        self._namespace, self._stack = namespace, stack
        self._made = dict(values)

    def known(self, name: str) -> bool:
        return name in self._made or name in _BUILTIN or hasattr(self._namespace.get(name), "__fixture__")

    def get(self, name: str) -> Any:

        if not self.known(name):
            raise Unsupported(f"the tests take {name!r}, which nothing gives them")
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> Any:
        own: Any = self._namespace.get(name)
        if not hasattr(own, "__fixture__"):
            value = _BUILTIN[name]()
            if hasattr(value, "undo_all"):
                self._stack.callback(value.undo_all)
            return value
        value = own(**{parameter: self.get(parameter) for parameter in inspect.signature(own).parameters})
        if not inspect.isgenerator(value):
            return value
        self._stack.callback(lambda: next(value, None))
        return next(value)


def _tmp_path() -> Any:
    import pathlib
    import tempfile

    return pathlib.Path(tempfile.mkdtemp())


_BUILTIN: dict[str, Callable[[], Any]] = {
    "capsys": Capture,
    "monkeypatch": MonkeyPatch,
    "tmp_path": _tmp_path,
    "tmpdir": _tmp_path,
}


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
    """Whether there is no pytest to import. The zygote asks for its forks: looking costs a tenth of a short program."""
    return importlib.util.find_spec("pytest") is None


def module() -> types.ModuleType:
    """What `import pytest` gives."""
    pytest = types.ModuleType("pytest")
    vars(pytest).update(
        {
            "raises": raises,
            "approx": approx,
            "fixture": fixture,
            "mark": _Marks(),
            "param": _Param,
            "skip": skip,
            "fail": fail,
            "MonkeyPatch": MonkeyPatch,
            "main": lambda *args, **kwargs: 0,
        }
    )
    return pytest
