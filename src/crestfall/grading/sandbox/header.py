"""Imports that LeetCode, and benchmarks made of its problems, put before a program: their starter code names `List`
and solutions call `Counter` or `inf` without an import of their own."""

from __future__ import annotations

from functools import cache
from typing import Any

# LiveCodeBench's header (lcb_runner/evaluation/testing_util.py); APPS, TACO and their successors have a part of it.
_MODULES = """string re datetime collections heapq bisect copy math random statistics itertools functools operator io
sys json""".split()  # noqa: SIM905
LEETCODE = "".join(f"from {name} import *\n" for name in (*_MODULES, "builtins", "typing"))
LEETCODE += "".join(f"import {name}\n" for name in _MODULES)


@cache
def names(header: str) -> dict[str, Any]:
    """The names that a header defines. Computed once per process: the zygote does so for `LEETCODE`, then it forks."""
    namespace: dict[str, Any] = {"__name__": "__header__"}
    exec(compile(header, "<header>", "exec", dont_inherit=True), namespace)
    return {name: value for name, value in namespace.items() if name not in ("__name__", "__builtins__")}
