"""Resolve the names in test code: the program's, the tests' own, modules."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from crestfall.core.syntax import parsed
from crestfall.grading.sandbox.rewrite import is_solution
from crestfall.grading.source import bound, given

# Modules whose functions work on values, or (unittest, pytest) whose use here is known.
VALUE_MODULES = frozenset(
    """__future__ bisect cmath collections copy datetime decimal fractions functools heapq itertools json math numpy
    operator pytest random re statistics string sys typing unittest""".split()  # noqa: SIM905
)
_CLASS_MAKERS = {"namedtuple", "NamedTuple", "TypedDict", "Enum", "IntEnum", "Flag", "type", "make_dataclass"}


def parse(stub: str) -> ast.Module | None:
    return next((tree for body in ("", "\n    pass\n") if (tree := parsed(stub + body)) is not None), None)


@dataclass
class Names:
    """Meaning of the names in the tests."""

    bound: set[str] = field(default_factory=set)
    """Variables, functions, classes and imports of the tests."""
    modules: set[str] = field(default_factory=set)
    own: set[str] = field(default_factory=set)
    """Functions and classes that the tests define."""
    entry: str | None = None
    helpers: set[str] = field(default_factory=set)
    makers: set[str] = field(default_factory=set)
    """Helpers that may make objects of a class of theirs, if they have one (LeetCode's `TreeNode`, `tree_node`)."""
    functions: set[str] = field(default_factory=set)
    """Names of the program that are known to be functions."""

    @classmethod
    def of(cls, tree: ast.Module, entry: str | None, stub: str) -> Names:
        names = cls(entry=entry and entry.partition("(")[0])
        helpers = parse(stub)
        if helpers is not None:
            names.helpers = given(helpers) - {names.entry or ""} | {"CACHE"}
            kinds = (ast.ClassDef, ast.FunctionDef)
            own = {node.name: node for node in helpers.body if isinstance(node, kinds) and node.name != names.entry}
            if any(isinstance(node, ast.ClassDef) for node in own.values()):
                names.makers = set(own)
        for node in ast.walk(tree):
            names.bound.update(bound(node))
            if isinstance(node, ast.Import):
                names.modules.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.own.add(node.name)
                if node.name == "check" and isinstance(node, ast.FunctionDef) and node.args.args:
                    names.bound.discard(node.args.args[0].arg)
            elif isinstance(node, ast.Assign) and _makes_own(node.value):
                names.own.update(n for target in node.targets for part in ast.walk(target) for n in bound(part))
        names.bound.discard(names.entry or "")
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names.modules |= (used - names.bound - {names.entry or ""}) & sys.stdlib_module_names
        return names

    def is_class(self, name: str) -> bool:
        """Whether a name is spelt like a class: capitalised words, as in `Stack` and `LinkedList`."""
        bare = name.lstrip("_")
        capital = bare[:1].isupper() and "_" not in bare and (len(bare) == 1 or not bare.isupper())
        return capital and name not in self.functions

    def of_program(self, node: ast.AST) -> bool:
        """Is this a name that the program defines?"""
        if not isinstance(node, ast.Name):
            return False
        if node.id == self.entry:
            return True
        known = self.bound | self.helpers
        return node.id not in known | self.modules and not hasattr(builtins, node.id)

    def makes_object(self, node: ast.AST) -> bool:
        """Is this a call of a class of the program?"""
        return isinstance(node, ast.Call) and self.of_program(node.func) and self.is_class(root(node.func))


def _makes_own(value: ast.expr) -> bool:
    """A function or a class of the tests: it has no name by which the program could be told of it."""
    return isinstance(value, ast.Lambda) or (
        isinstance(value, ast.Call) and getattr(value.func, "attr", getattr(value.func, "id", "")) in _CLASS_MAKERS
    )


def missing_module(tree: ast.Module, names: Names, packages: Sequence[str]) -> str:
    """The first module that the tests import and that is neither there nor the program, in words."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            imported = [(node.module or "", [alias.name for alias in node.names])]
        elif isinstance(node, ast.Import):
            imported = [(alias.name, []) for alias in node.names]
        else:
            continue
        for module, parts in imported:
            root = module.partition(".")[0]
            known = root in sys.stdlib_module_names or root in ("pytest", *packages)
            if not known and not is_program(module, parts, names.entry):
                return f"the tests import {root}, which is not among the packages that programs may import"
    return ""


def is_program(module: str, imported: Sequence[str], entry: str | None) -> bool:
    """Do the tests take the program for this module?"""
    root = module.partition(".")[0]
    known = root in sys.stdlib_module_names or root in VALUE_MODULES
    return not known and is_solution(module, imported, entry)


def root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
