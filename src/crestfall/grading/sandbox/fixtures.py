"""pytest's fixtures, and the functions that it calls around tests: `setup_module` and its kin."""

from __future__ import annotations

import collections
import contextlib
import functools
import inspect
import io
import itertools
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from crestfall.grading.sandbox.assertions import Unsupported

_MISSING = object()
# Fixtures of pytest and its plugins that are not here: a test's one argument of another name is the function it tests.
FOREIGN = {"benchmark", "mocker", "recwarn", "tmp_path_factory"}


def hook(owner: Any, name: str) -> None:
    """Call `setup_method` and its kin, if there is one: whatever they take of pytest is None."""
    function = owner.get(name) if isinstance(owner, Mapping) else getattr(owner, name, None)
    if callable(function):
        function(*[None for _ in inspect.signature(function).parameters])


def _wanted(function: Any) -> list[str]:
    """Arguments that a test or a fixture has to be given: those that `mock.patch` gives come first."""
    parameters = inspect.signature(function).parameters.values()
    plain = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    default = getattr(sys.modules.get("unittest.mock"), "DEFAULT", None)
    patched = sum(not p.attribute_name and p.new is default for p in getattr(function, "patchings", ()))
    return [name for name in plain if name != "self"][patched:]


class Module:
    """The fixtures that a module of tests, and a class in it, define; values of those that tests share.

    Args:
        names: the module's global names.
        candidate: gives what the one argument of a test stands for that is no fixture.
    """

    def __init__(self, names: Mapping[str, Any], candidate: Callable[[], Any]) -> None:
        self.names, self.candidate = names, candidate
        self.stack = contextlib.ExitStack()
        self.shared: dict[Any, Any] = {}
        self.skipped = False

    def __enter__(self) -> Module:
        hook(self.names, "setup_module")
        return self

    def __exit__(self, *exc: object) -> None:
        self.stack.close()
        hook(self.names, "teardown_module")

    def fixtures(self, kind: type | None) -> dict[str, Any]:
        """Fixtures by name; the class's own take precedence over the module's."""
        bases = () if kind is None else reversed(kind.__mro__)
        places: list[Mapping[str, Any]] = [self.names, *(vars(base) for base in bases)]
        found = {}
        for place in places:
            for name, value in list(place.items()):
                if type(value) is types.FunctionType and hasattr(value, "__fixture__"):
                    found[value.__fixture__["name"] or name] = value
        return found

    def tests(self, function: Any, kind: type | None = None) -> Iterator[tuple[str, Callable[[], None]]]:
        """(suffix of its name, callable) of each call of a test function: one for each set of parameters."""
        if hasattr(function, "__skip__") or hasattr(kind, "__skip__"):
            self.skipped = True
            return
        fixtures = self.fixtures(kind)
        needed = [name for name, fixture in fixtures.items() if fixture.__fixture__["autouse"]]
        needed += [*getattr(kind, "__uses__", ()), *getattr(function, "__uses__", ()), *_wanted(function)]
        for name in needed:  # grows
            needed += [more for more in _wanted(fixtures[name]) if more not in needed] if name in fixtures else []
        axes = [
            [{name: value} for value in fixtures[name].__fixture__["params"]]
            for name in dict.fromkeys(needed)
            if name in fixtures and fixtures[name].__fixture__["params"] is not None
        ]
        levels = [*getattr(kind, "__parameters__", ()), *getattr(function, "__parameters__", ())]
        rows = itertools.product(itertools.product(*levels), itertools.product(*axes))
        for number, row in enumerate(rows):
            given, chosen = ({name: value for part in parts for name, value in part.items()} for parts in row)
            test = Test(self, fixtures, given, chosen)
            yield (f"[{number}]" if levels or axes else ""), functools.partial(test.run, function, kind, needed)


class Test:
    """One call of a test function. `values` are its parameters, `chosen` the parameters of fixtures."""

    def __init__(
        self, module: Module, fixtures: dict[str, Any], values: dict[str, Any], chosen: dict[str, Any]
    ) -> None:
        self._module, self._fixtures, self._values, self._chosen = module, fixtures, values, chosen

    def run(self, function: Any, kind: type | None, needed: list[str]) -> None:
        """Run one test between its set-up and tear-down hooks; in a class on a new object for each test."""
        self._made = dict(self._values)
        self._instance: Any = None if kind is None else kind()
        owner = self._module.names if kind is None else self._instance
        if kind is not None:
            function = getattr(owner, function.__name__)
        around = ("function",) if kind is None else ("method", "")
        with contextlib.ExitStack() as self._stack:
            for what in around:
                hook(owner, f"setup_{what}" if what else "setUp")
                self._stack.callback(hook, owner, f"teardown_{what}" if what else "tearDown")
            wanted = _wanted(function)
            for name in needed:
                if name in self._fixtures:
                    self.value(name)
            if kind is None and len(wanted) == 1 and wanted[0] not in FOREIGN and not self._known(wanted[0]):
                result = function(self._module.candidate())
            else:
                result = function(**{name: self.value(name) for name in dict.fromkeys([*wanted, *self._values])})
            if inspect.iscoroutine(result):
                import asyncio

                asyncio.run(result)

    def _known(self, name: str) -> bool:
        return name in self._made or name in self._fixtures or name in _BUILTIN or name == "request"

    def value(self, name: str) -> Any:
        """Raises Unsupported: no such fixture."""
        if name == "request":
            return Request(self, None, self._stack)
        if not self._known(name):
            raise Unsupported(f"the tests take {name!r}, which nothing gives them")
        if name not in self._made:
            value = self._made[name] = self._own(name) if name in self._fixtures else _BUILTIN[name]()
            if name in _BUILTIN and hasattr(value, "undo_all"):
                self._stack.callback(value.undo_all)
        return self._made[name]

    def _own(self, name: str) -> Any:
        """Of a wider scope than a test, once for each of its parameters."""
        function, param = self._fixtures[name], self._chosen.get(name)
        once = function.__fixture__["scope"] != "function"
        key = (function, repr(param))
        if once and key in self._module.shared:
            return self._module.shared[key]
        stack = self._module.stack if once else self._stack
        bound = function.__get__(self._instance) if "self" in inspect.signature(function).parameters else function
        value = bound(**{n: Request(self, param, stack) if n == "request" else self.value(n) for n in _wanted(bound)})
        if inspect.isgenerator(value):
            stack.callback(lambda rest: next(rest, None), value)
            value = next(value)
        if once:
            self._module.shared[key] = value
        return value


class Request:
    """The fixture `request`."""

    def __init__(self, test: Test, param: Any, stack: contextlib.ExitStack) -> None:
        self.param, self.getfixturevalue, self.addfinalizer = param, test.value, stack.callback
        self.instance = test._instance


_Captured = collections.namedtuple("_Captured", "out err")


class Capture:
    """The fixture `capsys`."""

    def __init__(self) -> None:
        self._saved = sys.stdout, sys.stderr
        self._streams = sys.stdout, sys.stderr = io.StringIO(), io.StringIO()

    def readouterr(self) -> Any:
        captured = _Captured(*(stream.getvalue() for stream in self._streams))
        for stream in self._streams:
            stream.seek(0)
            stream.truncate()
        return captured

    def undo_all(self) -> None:
        sys.stdout, sys.stderr = self._saved


def _caplog() -> Any:
    """The fixture `caplog`. Modules that few tests need are imported by these alone: each makes every fork dearer."""
    import logging

    class Log(logging.Handler):
        def __init__(self) -> None:
            super().__init__()
            self.records: list[logging.LogRecord] = []
            self.emit = self.records.append  # type: ignore[assignment]
            self.clear = self.records.clear
            self._levels = contextlib.ExitStack()
            logging.getLogger().addHandler(self)

        messages = property(lambda self: [record.getMessage() for record in self.records])
        record_tuples = property(lambda self: [(r.name, r.levelno, r.getMessage()) for r in self.records])
        text = property(lambda self: "".join(f"{r.levelname} {r.name}: {r.getMessage()}\n" for r in self.records))

        @contextlib.contextmanager
        def at_level(self, level: int | str, logger: str | None = None) -> Iterator[None]:
            own = logging.getLogger(logger)
            old = own.level
            own.setLevel(level)
            try:
                yield
            finally:
                own.setLevel(old)

        def set_level(self, level: int | str, logger: str | None = None) -> None:
            self._levels.enter_context(self.at_level(level, logger))

        def undo_all(self) -> None:
            self._levels.close()
            logging.getLogger().removeHandler(self)

    return Log()


class MonkeyPatch:
    """The fixture `monkeypatch`, by what `mock.patch` does."""

    def __init__(self) -> None:
        from unittest import mock

        self._patch, self._stack = mock.patch, contextlib.ExitStack()
        self.undo_all = self._stack.close

    def setattr(self, target: Any, name: Any, value: Any = _MISSING, raising: bool = True) -> None:
        patch = self._patch if value is _MISSING else self._patch.object
        given = (target, name) if value is _MISSING else (target, name, value)
        self._stack.enter_context(patch(*given, create=True))

    def delattr(self, target: Any, name: str, raising: bool = True) -> None:
        self._stack.callback(setattr, target, name, getattr(target, name))
        delattr(target, name)

    def setitem(self, mapping: Any, key: Any, value: Any) -> None:
        self._stack.enter_context(self._patch.dict(mapping, {key: value}))

    def delitem(self, mapping: Any, key: Any, raising: bool = True) -> None:
        self._stack.enter_context(self._patch.dict(mapping))
        del mapping[key]

    def setenv(self, name: str, value: str) -> None:
        self.setitem(os.environ, name, str(value))

    def delenv(self, name: str, raising: bool = True) -> None:
        if name in os.environ:
            self.delitem(os.environ, name)

    def chdir(self, path: Any) -> None:
        self._stack.enter_context(contextlib.chdir(path))


def _tmp_path() -> Any:
    import pathlib
    import tempfile

    return pathlib.Path(tempfile.mkdtemp())


_BUILTIN: dict[str, Callable[[], Any]] = {
    "capsys": Capture,
    "capfd": Capture,
    "caplog": _caplog,
    "monkeypatch": MonkeyPatch,
    "tmp_path": _tmp_path,
    "tmpdir": _tmp_path,
}
