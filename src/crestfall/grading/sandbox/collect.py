"""Tests that are defined and that nobody starts: `def test_...`, `class Test...`, `unittest.TestCase`. A test runner
would start them, so they are started here, in the order of the source (a TestCase's own in unittest's)."""

from __future__ import annotations

import ast
import inspect
import types
import unittest
from collections.abc import Callable, Mapping
from typing import Any


class Uncallable(Exception):
    """A test wants arguments that nobody gives it."""


def uncalled(source: str) -> list[str]:
    """Names of the test functions and classes at the top level of `source` that it does not call itself."""
    tree = ast.parse(source)
    named = [
        node.name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and (node.name.lower().startswith("test") or isinstance(node, ast.ClassDef))
    ]
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    return [name for name in dict.fromkeys(named) if name not in calls]


def run(names: Mapping[str, Any], collected: list[str], candidate: Callable[[], Any] | None) -> None:
    """Run the tests of these names. Raises what a failing test raises, and Uncallable.

    Args:
        candidate: gives the function that is tested, for tests which take that as their one argument.
    """
    for name in collected:
        test = names.get(name)
        if isinstance(test, type):
            if issubclass(test, unittest.TestCase):
                _run_case(test)
            elif name.startswith("Test"):
                _run_class(test)
        elif isinstance(test, types.FunctionType):
            _call(test, candidate)


def _call(test: Callable[..., Any], candidate: Callable[[], Any] | None) -> None:
    missing = [
        parameter
        for parameter in inspect.signature(test).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    if len(missing) == 1 and candidate is not None:
        result = test(candidate())
    elif missing:
        raise Uncallable(f"{test.__name__}() takes {missing[0].name!r}, which nothing gives it")
    else:
        result = test()
    if inspect.iscoroutine(result):
        import asyncio

        asyncio.run(result)


def _run_class(test: type) -> None:
    """As pytest does: a new object for each test, between `setup_method` and `teardown_method`."""
    for name in [name for name in vars(test) if name.startswith("test")]:
        instance = test()
        for before in ("setup_method", "setUp"):
            if hasattr(instance, before):
                _call_hook(getattr(instance, before))
        _call(getattr(instance, name), None)
        for after in ("teardown_method", "tearDown"):
            if hasattr(instance, after):
                _call_hook(getattr(instance, after))


def _call_hook(hook: Callable[..., Any]) -> None:
    hook(*[None for _ in inspect.signature(hook).parameters])


class _Result(unittest.TestResult):
    """Keeps the exceptions themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.raised: list[BaseException] = []

    def addError(self, test: Any, err: Any) -> None:
        self.raised.append(err[1])

    addFailure = addError

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            self.raised.append(err[1])

    def addUnexpectedSuccess(self, test: Any) -> None:
        self.raised.append(AssertionError(f"{test} passes, which it should not"))


def _run_case(case: type[unittest.TestCase]) -> None:
    result = _Result()
    result.failfast = True
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    if result.raised:
        raise result.raised[0]
