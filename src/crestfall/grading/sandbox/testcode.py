"""Test code as it runs beside a program: every name that it does not define itself is the program's."""

from __future__ import annotations

import ast
import builtins
from functools import partial
from types import CodeType
from typing import Any

from crestfall.grading.sandbox import discovery, pytest_shim
from crestfall.grading.sandbox.assertions import Assertions
from crestfall.grading.sandbox.discovery import uncalled
from crestfall.grading.sandbox.remote import Conversation
from crestfall.grading.sandbox.rewrite import least_checks, least_tests, module_names, rewritten
from crestfall.grading.sandbox.standin import stand_in


class Untested(Exception):
    """The tests are over and the program was not asked for anything."""


class Names(dict[str, Any]):
    """The tests' global names. Those that neither they nor Python define are the program's; so is `entry`, even where
    Python defines it (MBPP asks for a function called `sum`)."""

    def __init__(self, conversation: Conversation, entry: str | None) -> None:
        super().__init__(__name__="__main__")
        self._conversation = conversation
        self._entry = entry

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name) and name != self._entry:
            raise KeyError(name)
        return self._conversation.ask("name", name)


class TestCode:
    """A plan's test code, parsed and compiled once. Args: `helpers`: trusted source that stands before the program (a
    prompt's own functions). `least`, `labels` and `modules`: as `least_checks`, `least_tests` and `module_names` find
    them."""

    def __init__(self, source: str, entry: str | None, helpers: str, every: bool = False) -> None:
        pytest_shim.provide()  # first: a module that is not there would be taken for the program
        tree = ast.parse(source)
        self.collected = uncalled(tree)
        self.least, self.modules = least_checks(tree), module_names(tree)
        self.labels = least_tests(tree, self.collected)
        words = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        self.mentions = frozenset(words & {"StopIteration", "SystemExit"})
        self.stand_in = stand_in(tree, entry)
        self.code = rewritten(tree, entry, every)  # last, for it changes the tree
        self.every = every
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

    def run(self, conversation: Conversation, log: Assertions) -> None:
        """Raises what a failing test raises (with `every` it is in the log); Untested, Unsupported."""
        names = Names(conversation, self._entry)
        if self._helpers is not None:
            exec(self._helpers, names)
            if self._entry is not None:
                names.pop(self._entry, None)
        names.update(log.names(), CACHE=self._cache)
        candidate = partial(conversation.ask, "name", self._entry or "")
        discovery.start(self.code, names, self.collected, candidate, log, self.every)
        if conversation.over is not None:
            raise conversation.over
        if not conversation.used:
            raise Untested("the tests never ran the program: nothing can pass them")
