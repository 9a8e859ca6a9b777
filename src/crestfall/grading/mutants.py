"""Programs that differ from a reference in one place, as a small mistake would: for asking what tests fail to see.

Mutations are the usual ones of mutation testing (DeMillo, Lipton and Sayward 1978; Offutt et al. 1996): another
comparison, another arithmetic or logical operator, a constant off by one, a negated condition, a dropped statement, a
changed return.
"""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from crestfall.core.syntax import is_text, parsed

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_COMPUTED: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitXor: (ast.BitOr,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
}


@dataclass(frozen=True)
class Mutant:
    """`line` of the reference is changed as `change` says."""

    program: str
    line: int
    change: str


def mutants_of(program: str, most: int, seed: int = 0) -> list[Mutant]:
    """At most so many mutants of a program, drawn at random from all of one change; none of a program that does not
    parse. Each differs from the program and from the others as text."""
    tree = parsed(program)
    if tree is None:
        return []
    original = ast.unparse(tree)
    found: dict[str, Mutant] = {}
    places = [(i, k) for i, node in enumerate(ast.walk(tree)) for k in range(len(_changes(node)))]
    random.Random(seed).shuffle(places)
    for i, k in places:
        changed = copy.deepcopy(tree)
        change = _changes(next(islice(ast.walk(changed), i, None)))[k]
        change.how(change.node)
        text = ast.unparse(ast.fix_missing_locations(changed)) + "\n"
        if text.strip() != original and text not in found:
            found[text] = Mutant(text, getattr(change.node, "lineno", 0), change.what)
        if len(found) == most:
            break
    return list(found.values())


@dataclass(frozen=True)
class _Change:
    node: Any
    what: str
    how: Callable[[Any], None]


def _changes(node: ast.AST) -> list[_Change]:
    """The changes of one node."""
    match node:
        case ast.Compare(ops=ops):
            pairs = [(i, op, new()) for i, op in enumerate(ops) for new in _COMPARED.get(type(op), ())]
            return [_Change(node, f"{_sign(op)} becomes {_sign(new)}", _put(ops, i, new)) for i, op, new in pairs]
        case ast.BinOp(op=op) | ast.AugAssign(op=op):
            others = [new() for new in _COMPUTED.get(type(op), ())]
            return [_Change(node, f"{_sign(op)} becomes {_sign(new)}", _set("op", new)) for new in others]
        case ast.BoolOp(op=op):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            return [_Change(node, f"{_sign(op)} becomes {_sign(other)}", _set("op", other))]
        case ast.Constant(value=bool() as value):
            return [_Change(node, f"{value} becomes {not value}", _set("value", not value))]
        case ast.Constant(value=int() | float() as number):
            values = (number + 1, number - 1)
            return [_Change(node, f"{number} becomes {value}", _set("value", value)) for value in values]
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            return [_Change(node, "a condition is negated", _set("test", ast.UnaryOp(ast.Not(), test)))]
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            return [_Change(node, "None is returned", _set("value", ast.Constant(None)))]
        case ast.FunctionDef(body=body) | ast.For(body=body):
            left_out = [(i, line) for i, line in enumerate(body) if isinstance(line, _DROPPED) and not is_text(line)]
            return [_Change(line, "a statement is left out", _put(body, i, ast.Pass())) for i, line in left_out]
    return []


_DROPPED = (ast.Assign, ast.AugAssign, ast.If, ast.Expr)


def _set(name: str, value: Any) -> Callable[[Any], None]:
    return lambda node: setattr(node, name, value)


def _put(items: list[Any], index: int, value: Any) -> Callable[[Any], None]:
    return lambda node: items.__setitem__(index, value)


def _sign(op: ast.AST) -> str:
    """`<=` for LtE."""
    left, right = ast.Name("a"), ast.Name("b")
    if isinstance(op, ast.cmpop):
        return ast.unparse(ast.Compare(left, [op], [right]))[2:-2]
    if isinstance(op, ast.boolop):
        return ast.unparse(ast.BoolOp(op, [left, right]))[2:-2]
    assert isinstance(op, ast.operator)
    return ast.unparse(ast.BinOp(left, op, right))[2:-2]
