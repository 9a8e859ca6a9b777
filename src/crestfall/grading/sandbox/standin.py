"""Do tests fail whatever the program is? Asked where tests skip themselves or are of a style that does not run here.

A program takes part in what its tests do, so its own run proves nothing. The tests are run once more, with the
problem's reference and with a stand-in that ends its process as soon as the tests use it.
"""

from __future__ import annotations

import ast
import builtins

_SOURCE = """
import os
def leave(*args, _exit=os._exit, **kwargs):
    _exit(0)
hooks = {name for kind in (object, int, list, dict) for name in dir(kind)}
hooks |= {"__getattr__", "__call__", "__enter__", "__aenter__", "__await__", "__matmul__", "__mro_entries__"}
hooks -= {"__new__", "__init__", "__class__", "__doc__", "__getattribute__", "__init_subclass__", "__subclasshook__"}
StandIn = type("StandIn", (), dict.fromkeys(hooks, leave))
__dir__ = leave
globals().update({name: StandIn() for name in @})
"""


def stand_in(tree: ast.Module, entry: str | None) -> str:
    """A program that gives tests every name that they might take from one, and leaves at the first use of any."""
    owner = (entry or "").partition(".")[0].removesuffix("()")
    names = {owner}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name) | ast.Constant(value=str(name)):
                names.add(name)
    known = {name for name in names if hasattr(builtins, name) or name.startswith("__")} - {owner}
    return _SOURCE.replace("@", repr(sorted(filter(str.isidentifier, names - known))))
