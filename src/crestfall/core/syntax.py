"""Python that somebody else has written, parsed without a word about it.

Python prints a SyntaxWarning for what it parses: unknown escapes, `1if x`, `is` with a literal. A policy writes such
programs by the thousand, and the warnings would stand in the middle of a live view.
"""

from __future__ import annotations

import ast
import re
import warnings

FILENAME = "<answer of a model>"

# A filter for this one file name is safe with threads, which `catch_warnings` is not.
for _category in (SyntaxWarning, DeprecationWarning):
    warnings.filterwarnings("ignore", category=_category, module=re.escape(FILENAME))


def parse_foreign(source: str) -> ast.Module:
    """As `ast.parse`. Raises SyntaxError, ValueError, RecursionError or MemoryError, as it does."""
    return ast.parse(source, FILENAME)


def parsed(source: str) -> ast.Module | None:
    """`parse_foreign`; None for what does not parse."""
    try:
        return parse_foreign(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def is_text(node: ast.stmt) -> bool:
    """Whether a statement is a text that nobody uses: a docstring, or a comment written as one."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
