"""Do tests fail whatever the program is? Asked where tests skip themselves or are of a style that does not run here.

A program takes part in what its tests do, so its own run proves nothing. The tests are run once more, with the
problem's reference and with a stand-in that ends its process as soon as the tests use it.
"""

from __future__ import annotations

import ast
import builtins

_SOURCE = """
import os
def leave(*args, **kwargs):
    os._exit(0)
hooks = {name for kind in (object, int, list, dict) for name in dir(kind)}
hooks |= {"__getattr__", "__call__", "__enter__", "__aenter__", "__await__", "__matmul__", "__mro_entries__"}
hooks -= {"__new__", "__init__", "__class__", "__doc__", "__getattribute__", "__init_subclass__", "__subclasshook__"}
StandIn = type("StandIn", (), dict.fromkeys(hooks, leave))
for name in @:
    globals()[name] = StandIn()
del name
__dir__ = leave
def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return StandIn()
"""


def stand_in(tree: ast.Module, entry: str | None) -> str:
    """A program that gives tests every name that they might take from one, and leaves at the first use of any."""
    names = {(entry or "").partition("(")[0]}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not hasattr(builtins, node.id):
            names.add(node.id)
        elif isinstance(node, ast.ImportFrom):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
    return _SOURCE.replace("@", repr(sorted(name for name in names if name.isidentifier())))
