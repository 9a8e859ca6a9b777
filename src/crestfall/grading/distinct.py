"""Count distinct programs, ignoring layout, comments, docstrings and chosen names.

Two programs are the same if their syntax trees are, once the names that a program itself gives (parameters, variables,
functions) are numbered in order of appearance. Programs that compute the same in other ways are different.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import lru_cache

from crestfall.core.syntax import is_text, parsed

# Longer ones are compared as text: parsing costs more than is to be learnt.
_MAX_PARSED = 50_000


def count_distinct(programs: Iterable[str]) -> int:
    """The number of different programs."""
    return len({canonical(program) for program in set(programs)})


@lru_cache(maxsize=4096)
def canonical(program: str) -> str:
    """A text that equal programs share; the program itself where it does not parse."""
    if len(program) > _MAX_PARSED:
        return program
    tree = parsed(program)
    if tree is None:
        return program
    try:
        _rename(tree)
        return ast.dump(tree)
    except (MemoryError, RecursionError):
        return program


def _rename(tree: ast.Module) -> None:
    """Number the names that the program gives, and drop its docstrings, in place."""
    given = {name: f"_{i}" for i, name in enumerate(dict.fromkeys(_given(tree)))}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name):
                node.id = given.get(name, name)
            case ast.arg(arg=name):
                node.arg = given.get(name, name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                node.name = given.get(name, name)
        if isinstance(body := getattr(node, "body", None), list):
            body[:] = [line for line in body if not is_text(line)]


def _given(tree: ast.Module) -> Iterable[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
