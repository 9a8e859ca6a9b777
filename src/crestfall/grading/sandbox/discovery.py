"""Run the tests that test code defines and does not run itself: `check(candidate)`, unittest's and pytest's.

Used on both sides: by the judge, where the tests see the program from afar, and within the program's own process.
"""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from crestfall.grading.sandbox.assertions import Assertions, Left, Unsupported
from crestfall.grading.sandbox.fixtures import Module, hook
from crestfall.grading.sandbox.harness import is_of_program

CHECK = "check"


def uncalled(tree: ast.Module) -> list[str]:
    """Names of the test functions and classes at the top level of tests that these do not call themselves; `check`,
    which is called with the function that is tested, first."""
    named = [
        node.name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and (node.name.lower().startswith("test") or isinstance(node, ast.ClassDef))
    ]
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    check = [CHECK] if _leaves_check(tree) else []
    return check + [name for name in dict.fromkeys(named) if name not in calls]


def _leaves_check(tree: ast.Module) -> bool:
    """Whether the tests define `check` without calling it (HumanEval-X's tests call it themselves)."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    bound = any(
        (isinstance(node, kinds) and node.name == CHECK)
        or (isinstance(node, ast.Name) and node.id == CHECK and isinstance(node.ctx, ast.Store))
        for node in ast.walk(tree)
    )
    run = [node for statement in tree.body if not isinstance(statement, kinds) for node in ast.walk(statement)]
    return bound and not any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == CHECK for node in run
    )


def start(
    code: types.CodeType,
    names: dict[str, Any],
    collected: Sequence[str],
    candidate: Callable[[], Any],
    log: Assertions,
    every: bool,
) -> None:
    """Run test code, `check(candidate)`, and what nobody has started. Raises as `run` does."""
    try:
        exec(code, names)
    except Left as end:
        if is_of_program(end):
            raise
        if end.code:
            raise AssertionError(f"the tests exit with {end.code!r}") from None
    if CHECK in collected:
        names[CHECK](candidate())
    run(names, [name for name in collected if name != CHECK], candidate, log, every)
    if log.swallowed:
        raise AssertionError("an assertion failed, and the tests went on as if it had held")


def run(
    names: Mapping[str, Any], collected: Sequence[str], candidate: Callable[[], Any], log: Assertions, every: bool
) -> None:
    """Run the tests of these names, in the order of the source (a TestCase's own in unittest's). Those that are marked
    to be skipped are left out.

    Args:
        candidate: gives the function that is tested, for tests which take that as their one argument.
        every: go on after a failure: `log` has it.

    Raises: what a failing test raises, unless `every`; Unsupported.
    """
    ran = False
    with Module(names, candidate) as module:
        for label, test in (case for name in collected for case in _cases(name, names.get(name), module)):
            before, ran = len(log.results), True
            error: BaseException | None = None
            try:
                test()
            except Unsupported:
                raise
            except _skips() as skip:
                if not is_of_program(skip):
                    raise Unsupported(f"{label} is skipped: {skip}") from None
                raise
            except Exception as failure:
                if not every:
                    raise
                error = failure
            del log.results[before:]  # one entry for a test, whatever it asserts
            log.results.append((label, error))
    if module.skipped and not ran and not log.checks:
        raise Unsupported("every test is skipped")


def _skips() -> tuple[type[BaseException], ...]:
    modules = (sys.modules.get("unittest"), sys.modules.get("pytest"))
    kinds = (getattr(modules[0], "SkipTest", None), getattr(getattr(modules[1], "skip", None), "Exception", None))
    return tuple(kind for kind in kinds if isinstance(kind, type))


def _cases(name: str, test: Any, module: Module) -> Iterator[tuple[str, Callable[[], None]]]:
    """(label, callable) of each test in a function or a class."""
    if isinstance(test, type):
        unittest = sys.modules.get("unittest")
        if unittest is not None and issubclass(test, unittest.TestCase):
            yield from _unittest_cases(test, module)
        elif name.startswith("Test"):
            hook(test, "setup_class")
            for method in [method for method in vars(test) if method.startswith("test")]:
                for suffix, run_it in module.tests(vars(test)[method], test):
                    yield f"{name}.{method}{suffix}", run_it
            hook(test, "teardown_class")
    elif isinstance(test, types.FunctionType):
        for suffix, run_it in module.tests(test):
            yield name + suffix, run_it


def _unittest_cases(kind: Any, module: Module) -> Iterator[tuple[str, Callable[[], None]]]:
    unittest = sys.modules["unittest"]
    for case in unittest.defaultTestLoader.loadTestsFromTestCase(kind):
        places = (kind, getattr(kind, case._testMethodName))
        if any(getattr(place, "__unittest_skip__", False) for place in places):
            module.skipped = True
        else:
            yield f"{kind.__name__}.{case._testMethodName}", partial(_run_case, kind, case)


def _run_case(kind: Any, case: Any) -> None:
    """Run one test method with the class's own set-up. Raises its exception if it fails."""
    unittest = sys.modules["unittest"]
    unittest.case._ShouldStop = ()  # which ends a test as if it had held, whoever raises it
    result = unittest.TestResult()
    caught: list[BaseException] = []

    def note(test: Any, error: Any) -> None:
        caught.append(error[1])

    result.addError = result.addFailure = note
    result.addSkip = lambda test, reason: note(test, sys.exc_info())  # it is raised again, for `run` to judge
    result.addSubTest = lambda test, sub, error: note(sub, error) if error else None
    unittest.TestSuite([case]).run(result)
    if caught:
        raise caught[0]
    if result.unexpectedSuccesses or not result.testsRun:
        raise AssertionError("unexpected success" if result.testsRun else "the test did not run")
