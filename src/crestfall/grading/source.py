"""Python source as text: does it parse, does it do anything, which names does it give and which does it need?

All that is asked of one answer shares one budget of characters, so that the work on an answer of n characters is O(n)
whatever stands in it. Nothing here compiles: compiling folds constants, and 700 characters can ask for gigabytes.
"""

from __future__ import annotations

import ast
import builtins
import html
import re
import textwrap
from collections.abc import Iterable, Iterator
from functools import lru_cache

from crestfall.core.syntax import is_text, parsed

MAX_PARSED = 200_000
"""Longer texts are not parsed: their tree would take a gigabyte."""

_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
_ACTS = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr, ast.ListComp, ast.SetComp, ast.DictComp)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_TRANSCRIPT = re.compile(r"[ \t]*(?:>>>|\.\.\.|In \[\d+\]:|\.{3,}:)(?: |$)")
# Spaces and marks that pages of text put into code and Python refuses: they cannot be told from plain ones by reading.
_TYPOGRAPHY = {
    **dict.fromkeys(map(ord, "\u00a0\u2007\u202f\u3000"), " "),
    **dict.fromkeys(map(ord, "\u200b\u200e\u200f\u2060\ufeff")),
    **dict.fromkeys(map(ord, "\u2028\u2029"), "\n"),
}


class Checker:
    """Parses pieces of one answer, each once, as far as the budget goes.

    Args:
        size: characters of the answer; the budget is a multiple of it.
    """

    def __init__(self, size: int) -> None:
        self._budget = 8 * size + 50_000
        self._trees: dict[str, ast.Module | None] = {}
        self._idle: dict[str, bool] = {}

    def tree(self, text: str) -> ast.Module | None:
        """The syntax tree; None where the text does not parse or the budget is used up. Never raises."""
        if text not in self._trees:
            if len(text) > min(MAX_PARSED, self._budget):
                return None
            self._budget -= len(text)
            self._trees[text] = _parsed(text)
        return self._trees[text]

    def code(self, text: str) -> bool:
        """Whether this is a program that does something: `Sorry` and `[1, 2]` parse, and do nothing."""
        tree = self.tree(text)
        return tree is not None and bool(tree.body) and not self.idle(text)

    def idle(self, text: str) -> bool:
        """Whether a text parses and holds only unused values, as the parser sees words of prose."""
        if text not in self._idle:
            tree = self.tree(text)
            self._idle[text] = tree is not None and _idle(tree)
        return self._idle[text]

    def prosaic(self, text: str) -> bool:
        """Whether a text parses with words of prose among its statements: `Done` and `Note: see` are valid Python, and
        fail when they run."""
        tree = self.tree(text)
        return tree is not None and any(_is_prose(node) for node in tree.body)

    def expression(self, text: str) -> bool:
        """Whether a text parses and holds only expressions, such as calls that try something out."""
        tree = self.tree(text)
        return tree is not None and all(isinstance(node, ast.Expr) for node in tree.body)

    def valid(self, text: str) -> bool:
        """Whether a text parses; comments alone do too."""
        return self.tree(text) is not None

    def mended(self, text: str) -> str | None:
        """The text itself if it is code, else what it is once its markup is taken off; None if that is no code
        either."""
        return next((v for v in _variants(text) if self.code(v) and not self.prosaic(v)), None)


def _parsed(text: str) -> ast.Module | None:
    tree = parsed(text)
    return None if tree is None or _stray(tree) else tree


def _stray(tree: ast.Module) -> bool:
    """Whether `return` or `yield` stand outside of any function, which only the compiler would notice."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, (ast.Return, ast.Yield, ast.YieldFrom)):
                return True
            if not isinstance(node, _SCOPES):
                waiting.append(node)
    return False


def _variants(text: str) -> Iterator[str]:
    yield text
    if (visible := text.translate(_TYPOGRAPHY)) != text:
        text = visible
        yield text
    if (dedented := textwrap.dedent(text)) != text:
        yield dedented
    if _TRANSCRIPT.match(text.lstrip()):
        yield typed(text)
    first, _, rest = text.lstrip().partition("\n")
    if first.strip().lower() in ("python", "python3", "py"):  # the fence's tag, a line too late
        yield rest
    lines = text.split("\n")
    if any(line[:1] in ("%", "!") for line in lines):  # a notebook's commands
        yield "\n".join(line for line in lines if line[:1] not in ("%", "!"))
    if "&" in text and (plain := html.unescape(text)) != text:
        yield plain


def typed(text: str) -> str:
    """Input typed in a transcript of Python's prompt (`>>>`, `In [1]:`), without its output."""
    lines = ((_TRANSCRIPT.match(line), line) for line in text.split("\n"))
    return "\n".join(line[prompt.end() :] for prompt, line in lines if prompt) + "\n"


def _idle(tree: ast.Module) -> bool:
    return bool(tree.body) and all(_is_prose(node) or _is_value(node) for node in tree.body)


def _is_value(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and not any(isinstance(part, _ACTS) for part in ast.walk(node))


def _is_prose(node: ast.stmt) -> bool:
    """A name that nobody uses, or one with a remark that reads as its type."""
    remark = isinstance(node, ast.AnnAssign) and node.value is None
    return (remark or _is_value(node)) and any(isinstance(part, ast.Name) for part in ast.walk(node))


def acts(tree: ast.Module) -> bool:
    """Whether a program does something when it is started, other than define, import and assign."""
    quiet = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
    return any(not isinstance(node, quiet) and not is_text(node) for node in tree.body)


def given(tree: ast.Module) -> set[str]:
    """The names that a program gives at its outermost level, `if` and `try` included."""
    names: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            names |= bound(node)
            if not isinstance(node, (*_SCOPES, ast.ClassDef)):
                waiting.append(node)
    return names


def needed(tree: ast.Module) -> set[str]:
    """The names that a program uses and gives nowhere, builtins aside."""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return used - set().union(*map(bound, ast.walk(tree))) - _BUILTINS


def bound(node: ast.AST) -> set[str]:
    """Names that one node binds."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
            return {name}
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return {(alias.asname or alias.name).split(".")[0] for alias in aliases}
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return {name}
        case _:
            return set()


@lru_cache(maxsize=1024)
def names_used(code: str) -> frozenset[str]:
    """The names that test code needs from the program; none where it does not parse."""
    tree = _parsed(code)
    return frozenset() if tree is None else frozenset(needed(tree))


def defines(text: str, names: Iterable[str], imports: bool = True) -> bool:
    """Whether a text, valid Python or not, seems to define one of these names: def, class, assignment or (`imports`) an
    import from another module."""
    some = "|".join(map(re.escape, names))
    if not some:
        return False
    imported = r"|from[ \t][^\n]*\bimport\b[^\n]*\b" if imports else ""
    definition = rf"(?:(?:async[ \t]+)?def[ \t]+|class[ \t]+{imported})(?:{some})\b"
    pattern = rf"^[ \t]*{definition}|^(?:{some})[ \t]*[:=](?!=)"
    return re.search(pattern, text, re.M) is not None
