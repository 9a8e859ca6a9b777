"""Decide where test code may run: outside the program's process as long as it only passes values and looks at the
values that come back; inside it, where the tests handle the program's objects.

The tests alone decide, never a program: a program that could choose would choose to have its own tests within reach.
What is not known to be harmless counts as handling objects.
"""

from __future__ import annotations

import ast
import builtins
import collections
import datetime
import decimal
import fractions
import re
import types
from collections.abc import Sequence
from dataclasses import dataclass

from crestfall.core.syntax import parse_foreign
from crestfall.grading.names import VALUE_MODULES, Names, is_program, missing_module, parse, root

# Builtin functions that see an object for what it is.
_LOOKING = frozenset(
    """__import__ callable classmethod delattr dir eval exec getattr globals hasattr hash help id input locals
    memoryview open property setattr staticmethod super type vars""".split()  # noqa: SIM905
)
_VALUE_TYPES = (
    *(str, bytes, bytearray, int, float, complex, list, tuple, dict, set, frozenset, range),
    *(collections.Counter, collections.OrderedDict, collections.deque, collections.defaultdict),
    *(decimal.Decimal, fractions.Fraction, datetime.datetime, datetime.timedelta, re.Match),
)
_METHODS = frozenset(name for kind in _VALUE_TYPES for name in dir(kind) if not name.startswith("_"))
_OTHERS = """T all any argmax argmin astype dtype flat flatten max mean min ndim ravel reshape shape size sum tolist
choice choices gauss randint random randrange sample shuffle uniform args""".split()  # noqa: SIM905
_ATTRIBUTES = _METHODS.union(_OTHERS)  # of values, arrays, random generators and exceptions
_MUTABLE = (list, dict, set, bytearray, collections.deque, collections.defaultdict, collections.Counter)
_DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_CHANGING = {name for kind in _MUTABLE for name in dir(kind)} - {
    name for kind in (tuple, frozenset, bytes, types.MappingProxyType) for name in dir(kind)
}
_SYS = {"maxsize", "float_info", "version_info", "getsizeof"}
_EXCEPTIONS = frozenset(
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
)
_CALLING = {"functools", "itertools", "pytest"}  # what is given to their functions is called
_RAISING = {"raises", "assertRaises", "assertRaisesRegex"}
_FAILING = re.compile("assert|fail|raises|warns|exit|quit|doctest")


@dataclass(frozen=True, slots=True)
class Placement:
    """`isolation` is `outside` or `inside`; `reason` says what needs it inside, and `refusal` why neither will do."""

    isolation: str = "outside"
    reason: str = ""
    refusal: str = ""


def placement(
    code: str, entry: str | None, stub: str = "", reference: str | None = None, packages: Sequence[str] = ("numpy",)
) -> Placement:
    """Decide where these tests run.

    Args:
        entry: the name that the tests are about; `check`'s argument stands for it.
        stub: what stands before a completion: its own helpers are known to the tests.
        reference: a right program; it says which names with a capital are functions.
        packages: what tests and programs may import besides the standard library.
    """
    try:
        tree = parse_foreign(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Placement(refusal=f"the tests cannot be compiled: {error}")
    names = Names.of(tree, entry, stub)
    solution = parse(reference or "")
    if solution is not None:
        names.functions = {node.name for node in solution.body if isinstance(node, ast.FunctionDef)}
    refusal = missing_module(tree, names, packages)
    if not refusal and _calls(tree) and not any(map(_can_fail, ast.walk(tree))):
        refusal = "the tests assert nothing: every program that runs would pass"
    if refusal:
        return Placement(refusal=refusal)
    if any(isinstance(node, ast.Name) and node.id in names.makers - names.bound for node in ast.walk(tree)):
        return Placement("inside", "objects of the prompt's classes")
    try:
        _Reader(names).visit(tree)
    except Handles as found:
        return Placement("inside", str(found))
    return Placement()


class Handles(Exception):
    """The tests handle objects of the program; the text says where."""


class _Reader(ast.NodeVisitor):
    """Reads tests until something in them handles an object. Raises Handles."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._instances: set[str] = set()
        self._results: dict[str, int] = {}  # by name: how many calls for their effect alone came before
        self._effects = 0
        # A program may keep a list that it is given and change it later: only one of the two processes would see that.
        self._mutable: set[str] = set()
        self._given: dict[str, int] = {}  # by name: the last call that it was given to
        self._calls = 0
        self._shared: set[str] = set()  # variables with a part that has a name of its own
        self._keeping: set[str] = set()  # results of calls that were given something mutable

    # --- statements

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._module(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if is_program(node.module or "", [alias.name for alias in node.names], self._names.entry):
            return
        self._module(node.module or "")
        if node.module == "unittest" and any(alias.name != "TestCase" for alias in node.names):
            raise Handles("unittest.mock")

    def _module(self, name: str) -> None:
        if name.partition(".")[0] not in VALUE_MODULES or name.startswith("unittest."):
            raise Handles(f"the tests use {name}")

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            call = item.context_expr
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                raise Handles("a with statement")
            if call.func.attr in _RAISING and call.args:
                self._exception(call.args[0])
            elif call.func.attr != "subTest":
                raise Handles("a with statement")
        for statement in node.body:
            self.visit(statement)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        raise Handles("async")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for decorator in node.decorator_list:
            if not _is_mark(decorator):
                raise Handles("a decorator")
        for part in [*node.args.defaults, *node.body]:
            self.visit(part)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if node.decorator_list or any(self._names.of_program(base) for base in node.bases):
            raise Handles("a class derived from the program's")
        if not node.name.startswith("Test") and not any("TestCase" in ast.unparse(base) for base in node.bases):
            raise Handles("a class of the tests")
        for statement in node.body:
            self.visit(statement)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type is not None:
            self._exception(node.type)
        for statement in node.body:
            self.visit(statement)

    def _exception(self, node: ast.expr) -> None:
        kinds = node.elts if isinstance(node, ast.Tuple) else [node]
        for kind in kinds:
            if not (isinstance(kind, ast.Name) and kind.id in _EXCEPTIONS):
                raise Handles("exceptions of the program's own")

    def visit_Raise(self, node: ast.Raise) -> None:
        if node.exc is not None and self._names.of_program(getattr(node.exc, "func", node.exc)):
            raise Handles("exceptions of the program's own")

    def visit_Assign(self, node: ast.Assign) -> None:
        if self._names.makes_object(node.value) or self._is_instance(node.value):
            self._hand_over(node.value)
            for target in node.targets:
                if isinstance(target, ast.Name):
                    self._instances.add(target.id)
                else:
                    self._part(target)
            return
        names, before = {part.id for part in node.targets if isinstance(part, ast.Name)}, self._calls
        for name in names:
            self._results.pop(name, None)
        if any(isinstance(part, ast.Call) and self._names.of_program(part.func) for part in ast.walk(node.value)):
            self._results |= dict.fromkeys(names, self._effects)
        self.visit(node.value)
        for target in node.targets:
            if isinstance(target, ast.Attribute) and root(target) not in ("self", "cls"):
                self._part(target)
            else:
                self.visit(target)
        if any(call > before for call in self._given.values()):
            self._keeping |= names
        if isinstance(node.value, ast.Subscript):
            self._shared.add(_owner(node.value))
        self._mutable = self._mutable | names if _is_mutable(node.value) else self._mutable - names
        if self._changes(node.value):
            self._names.own |= names

    def visit_Expr(self, node: ast.Expr) -> None:
        """A method called for what it does to a value that the program gave. Sorting a list shows nothing of it."""
        func = getattr(node.value, "func", None)
        if isinstance(func, ast.Attribute) and func.attr != "sort" and _owner(func) in self._results:
            raise Handles("what the program gave is changed")
        self._effects += isinstance(node.value, ast.Call) and self._names.of_program(node.value.func)
        self.visit(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load) and _owner(node) in self._results:
            raise Handles("what the program gave is changed")
        self.generic_visit(node)

    def _part(self, node: ast.AST) -> None:
        """Visit an assignment's target: an attribute of an object under construction (`root.left.left`), or an item."""
        if isinstance(node, ast.Attribute):
            base: ast.AST = node
            while isinstance(base, ast.Attribute):
                base = base.value
            if not (isinstance(base, ast.Name) and base.id in self._instances):
                raise Handles("attributes are set")
        else:
            self.visit(node)

    # --- expressions

    def visit_Call(self, node: ast.Call) -> None:
        func = node.func
        if any(map(self._changes, [*node.args, *(keyword.value for keyword in node.keywords)])):
            raise Handles("a method of the tests' values is handed over")
        if isinstance(func, ast.Name) and func.id in self._keeping:
            raise Handles("a function that may keep what the program was given")
        self._calls += self._names.of_program(func) or isinstance(func, ast.Call)
        if self._names.makes_object(node):
            raise Handles(f"objects of the class {root(func)}")
        if self._names.of_program(func) or isinstance(func, ast.Call):  # a result that is called: `adder(2)(3)`
            self._hand_over(node)
            return
        if isinstance(func, ast.Name):
            if func.id in _LOOKING and func.id not in self._names.bound:
                raise Handles(f"{func.id}()")
            if func.id in ("isinstance", "issubclass"):
                self._kinds(node)
        else:
            self.visit(func)
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            if not self._names.of_program(argument):  # a function of the program given to map, sorted or check
                self.visit(argument)
            elif self._names.is_class(root(argument)):
                raise Handles(f"the class {root(argument)}")
            elif isinstance(func, ast.Attribute) and root(func) in self._names.modules - _CALLING:
                raise Handles(f"{root(func)}.{func.attr}() of a function")

    def _kinds(self, node: ast.Call) -> None:
        kinds = node.args[1].elts if len(node.args) > 1 and isinstance(node.args[1], ast.Tuple) else node.args[1:]
        for kind in kinds:
            name = kind.attr if isinstance(kind, ast.Attribute) else getattr(kind, "id", "")
            known = {value.__name__ for value in _VALUE_TYPES} | {"bool", "ndarray", "Exception", *_EXCEPTIONS}
            if name not in known or self._names.of_program(kind):
                raise Handles("isinstance with another type than Python's own")

    def _hand_over(self, node: ast.AST) -> None:
        """Arguments of a program's function: values, functions of Python, objects that were built for it."""
        if isinstance(node, ast.Call) and (self._names.of_program(node.func) or isinstance(node.func, ast.Call)):
            if isinstance(node.func, ast.Call):
                self.visit(node.func)
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                self._hand_over(argument)
        elif isinstance(node, (ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Starred)):
            for item in filter(lambda child: isinstance(child, ast.expr), ast.iter_child_nodes(node)):
                self._hand_over(item)
        elif isinstance(node, (ast.Lambda, ast.GeneratorExp)) or _mentions(node, self._names.own):
            raise Handles("functions or objects of the tests are handed over")
        elif isinstance(node, ast.Name) and node.id in self._mutable:
            if node.id in self._shared:
                raise Handles("a part of what the program is given has a name of its own")
            self._given[node.id] = self._calls
        elif isinstance(node, ast.Name) and node.id in self._results:
            self._results[node.id] = self._effects
        elif not self._names.of_program(node) and not self._is_instance(node):
            self.visit(node)

    def _changes(self, node: ast.expr) -> bool:
        """Whether this is a method that changes what it belongs to, not called: `seen.append`."""
        return isinstance(node, ast.Attribute) and node.attr in _CHANGING and root(node) not in self._names.modules

    def _is_instance(self, node: ast.AST) -> bool:
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name) and node.id in self._instances

    def visit_Attribute(self, node: ast.Attribute) -> None:
        value = node.value
        if isinstance(value, ast.Name):
            if value.id == "sys" and "sys" in self._names.modules and node.attr not in _SYS:
                raise Handles(f"sys.{node.attr}")
            if value.id == "random" and node.attr == "seed":
                raise Handles("random.seed")
            if value.id in self._names.modules and value.id != "unittest":
                return
            if value.id in ("self", "cls") or value.id in self._names.own:
                return
        elif root(value) in self._names.modules and node.attr not in ("mock", "seed"):
            return
        if node.attr == "mock" or (node.attr not in _ATTRIBUTES and root(value) != "unittest"):
            raise Handles(f"the attribute {node.attr}")
        self.visit(value)

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._given.pop(node.id, None)
        elif node.id in self._instances:
            raise Handles("objects of a class of the program")
        elif (
            self._given.get(node.id, self._calls) < self._calls
            or self._results.get(node.id, self._effects) < self._effects
        ):
            raise Handles("what the program was given, looked at after a later call")
        if self._names.of_program(node) and self._names.is_class(node.id):
            raise Handles(f"the class {node.id}")

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        same = any(isinstance(operator, (ast.Is, ast.IsNot)) for operator in node.ops)
        if same and not any(isinstance(side, ast.Constant) or _is_type(side) for side in sides):
            raise Handles("identity of objects")
        for side in sides:
            for part in side.args if _is_type(side) else [side]:  # type: ignore[attr-defined]
                self.visit(part)

    def visit_Await(self, node: ast.Await) -> None:
        raise Handles("async")

    def visit_Delete(self, node: ast.Delete) -> None:
        raise Handles("del")


def _calls(tree: ast.Module) -> bool:
    """Whether tests call anything. Those that do not never run the program: no program passes them."""
    return any(isinstance(node, ast.Call) for node in ast.walk(tree))


def _can_fail(node: ast.AST) -> bool:
    """Whether this is made to fail a program: an assertion that does not always hold, or a call of something that
    asserts."""
    if isinstance(node, ast.Assert):
        always = isinstance(node.test, ast.Constant) and node.test.value
        return not always and not (isinstance(node.test, ast.Tuple) and node.test.elts)
    word = getattr(node, "attr", getattr(node, "id", getattr(node, "name", None)))
    return isinstance(node, ast.Raise) or (isinstance(word, str) and _FAILING.search(word) is not None)


def _owner(node: ast.AST) -> str:
    """The variable of which this is a part: of `grid[0].append`, `grid`."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _is_mutable(node: ast.expr) -> bool:
    made = isinstance(node, ast.Call) and root(node.func) in {kind.__name__ for kind in _MUTABLE}
    return made or isinstance(node, _DISPLAYS)


def _is_type(node: ast.expr) -> bool:
    """`type(x)`, which may be compared: a value that has come here has a type of Python's own."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "type"


def _is_mark(node: ast.expr) -> bool:
    text = ast.unparse(node)
    return text.startswith(("pytest.mark.", "staticmethod", "classmethod", "unittest.skip"))


def _mentions(node: ast.AST, names: set[str]) -> bool:
    return any(isinstance(inner, ast.Name) and inner.id in names for inner in ast.walk(node))
