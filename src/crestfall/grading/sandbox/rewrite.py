"""What is changed in test code before it is compiled, so that nobody has to take the tests' word for it that they
tested: assertions are counted, the tests' own start (`unittest.main()`) is left to `collect`, an import of the solution
is the program, and an empty array is close to nothing but another one."""

from __future__ import annotations

import ast
import importlib.util
from types import CodeType
from typing import Any

# What people call the module that a program would be saved as.
SOLUTIONS = frozenset(["answer", "candidate", "code", "main", "module", "program", "solution", "solutions"])
SOLUTIONS |= {"submission", "your_module"}


def rewritten(source: str, entry: str | None) -> CodeType:
    """Test code, compiled. Raises SyntaxError, ValueError."""
    tree = _Rewriter(entry).visit(ast.parse(source))
    return compile(ast.fix_missing_locations(tree), "<tests>", "exec", dont_inherit=True)


class Assertions:
    """What became of the tests' assertions: `held` counts those that held since the last one that did not."""

    def __init__(self) -> None:
        self.held = 0
        self.failed = False

    def hold(self, value: Any) -> bool:
        truth = bool(value)
        self.held = self.held + 1 if truth else 0
        self.failed |= not truth
        return truth

    @property
    def swallowed(self) -> bool:
        """One failed, the tests went on, and none has held since."""
        return self.failed and not self.held


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


HOLD, ALLCLOSE = "__hold__", "__allclose__"


class _Rewriter(ast.NodeTransformer):
    def __init__(self, entry: str | None) -> None:
        self._entry = entry
        self._strict = False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """EvalPlus's rows bring their checker along: `assertion(out, exp, atol)`."""
        outer = self._strict
        self._strict |= node.name == "assertion" and [arg.arg for arg in node.args.args] == ["out", "exp", "atol"]
        self.generic_visit(node)
        self._strict = outer
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.test, ast.Constant):
            held = ast.Call(ast.Name(HOLD, ast.Load()), [node.test], [])
            node.test = ast.copy_location(held, node.test)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "allclose" and len(node.args) >= 2:
            args = [ast.Constant(self._strict), node.func, *node.args]
            return ast.copy_location(ast.Call(ast.Name(ALLCLOSE, ast.Load()), args, node.keywords), node)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in ("unittest.main", "pytest.main"):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.AST]:
        """Names that are left to the program need no import; under other names they are assigned."""
        if not self._is_program(node):
            return node
        renamed = [alias for alias in node.names if alias.asname not in (None, alias.name)]
        if not renamed:
            return ast.copy_location(ast.Pass(), node)
        return [
            ast.copy_location(
                ast.Assign([ast.Name(str(alias.asname), ast.Store())], ast.Name(alias.name, ast.Load())), node
            )
            for alias in renamed
        ]

    def _is_program(self, node: ast.ImportFrom) -> bool:
        if node.level:
            return True
        root = (node.module or "").partition(".")[0]
        asked = root in SOLUTIONS or any(alias.name in (self._entry, root) for alias in node.names)
        return asked and not _is_installed(root)


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # __main__ has no spec, say
        return name != "__main__"
