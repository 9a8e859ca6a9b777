"""Rewrite test code before it is compiled, so that the grader itself knows which assertions ran:
assertions are counted, the tests' own start (`unittest.main()`) is left to `collect`, their own end (`sys.exit()`)
differs from a program's, an import of the solution is the program, and an empty array is close to nothing but another
one."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterable
from types import CodeType

from crestfall.grading.sandbox.assertions import ALLCLOSE, HOLD, LEAVE, NOTE

# What people call the module that a program would be saved as.
_SOLUTION = re.compile("solution|submission|program|candidate|main|module|code|answer|impl|student|problem|your|task")

_RUNNERS = ("unittest.main", "pytest.main")
_EXITS = ("sys.exit", "exit", "quit", "os._exit")


def is_solution(module: str, imported: Iterable[str], entry: str | None) -> bool:
    """Whether tests mean the program by this module (`from solution import f`); used for modules that do not exist."""
    root = module.partition(".")[0]
    named = entry in (root, *imported) if entry else root in imported
    return not root or named or bool(_SOLUTION.search(root.lower()))


def rewritten(tree: ast.Module, entry: str | None, every: bool = False) -> CodeType:
    """Test code, compiled. The tree is changed.

    Args:
        every: an assertion that fails at the top level or in `check` is noted, and the tests go on.

    Raises: SyntaxError, ValueError.
    """
    changed = _Rewriter(entry, every).visit(tree)
    return compile(ast.fix_missing_locations(changed), "<tests>", "exec", dont_inherit=True)


class _Rewriter(ast.NodeTransformer):
    def __init__(self, entry: str | None, every: bool) -> None:
        self._entry, self._every = entry, every
        self._strict = False
        self._depth = 0
        self._imported: dict[str, str] = {}

    def visit_Module(self, node: ast.Module) -> ast.AST:
        for part in ast.walk(node):
            if isinstance(part, (ast.Import, ast.ImportFrom)):
                within = f"{part.module}." if isinstance(part, ast.ImportFrom) else ""
                self._imported |= {str(a.asname or a.name): within + a.name for a in part.names if a.asname or within}
        return self.generic_visit(node)

    def _named(self, node: ast.AST) -> str:
        """`sys.exit`, whatever the tests have imported it as."""
        first, dot, rest = ast.unparse(node).partition(".")
        return "" if first == self._entry else self._imported.get(first, first) + dot + rest

    def _runs(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and self._named(node.func) in _RUNNERS

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        self.generic_visit(node)
        kind, args = (node.exc.func, node.exc.args) if isinstance(node.exc, ast.Call) else (node.exc, [])
        if kind is not None and self._named(kind) == "SystemExit":
            node.exc = ast.Call(ast.Name(LEAVE, ast.Load()), args, [])
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """EvalPlus's rows bring their checker along: `assertion(out, exp, atol)`."""
        outer = self._strict
        self._strict |= node.name == "assertion" and [arg.arg for arg in node.args.args] == ["out", "exp", "atol"]
        inner = node.name != "check"
        self._depth += inner
        self.generic_visit(node)
        self._depth -= inner
        self._strict = outer
        return node

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.test, ast.Constant):
            held = ast.Call(ast.Name(HOLD, ast.Load()), [node.test], [])
            node.test = ast.copy_location(held, node.test)
        if not self._every or self._depth:
            return node
        noted = ast.Call(ast.Name(NOTE, ast.Load()), [ast.Name("__error__", ast.Load()), ast.Constant(node.lineno)], [])
        handler = ast.ExceptHandler(ast.Name("Exception", ast.Load()), "__error__", [ast.Expr(noted)])
        return ast.copy_location(ast.Try([node], [handler], [], []), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if self._named(node.func) in _EXITS:
            node.args = [arg for arg in node.args if not self._runs(arg)]
            node.func = ast.Name(LEAVE, ast.Load())
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "allclose" and len(node.args) >= 2:
            args = [ast.Constant(self._strict), node.func, *node.args]
            return ast.copy_location(ast.Call(ast.Name(ALLCLOSE, ast.Load()), args, node.keywords), node)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if self._runs(node.value):
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
        module, imported = node.module or "", [alias.name for alias in node.names]
        return is_solution(module, imported, self._entry) and not _is_installed(module.partition(".")[0])


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # __main__ has no spec, say
        return name != "__main__"


def least_checks(tree: ast.Module) -> int:
    """Assertions that hold whatever the program does, if all of the tests pass: those that no branch leads around."""
    body = tree.body
    checks = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == "check"]
    for check in checks:
        leaves = [any(isinstance(inner, ast.Return) for inner in ast.walk(part)) for part in check.body]
        body = body + (check.body[: leaves.index(True)] if True in leaves else check.body)
    return sum(isinstance(node, ast.Assert) and not isinstance(node.test, ast.Constant) for node in body)


def least_tests(tree: ast.Module, collected: Iterable[str]) -> list[str]:
    """Labels of the tests that `collect` runs in any case, if all of them pass: those without decorators, which may
    skip them."""
    labels = []
    for node in tree.body:
        if getattr(node, "name", "") not in collected or getattr(node, "decorator_list", None):
            continue
        if isinstance(node, ast.ClassDef):
            if node.name.startswith("Test") or any("TestCase" in ast.unparse(base) for base in node.bases):
                methods = (part for part in node.body if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)))
                labels += [f"{node.name}.{m.name}" for m in methods if m.name[:4] == "test" and not m.decorator_list]
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name != "check":
            labels.append(node.name)
    return labels


def module_names(tree: ast.Module) -> list[str]:
    """Modules that tests import whole and that are not there: the program, by another name."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    return [alias.name for node in imports for alias in node.names if not _is_installed(alias.name.partition(".")[0])]
