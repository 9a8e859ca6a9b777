"""Helpers for all problem formats: rows that cannot be graded, ids for rows without one, texts of prompts."""

from __future__ import annotations

from typing import Any

from crestfall.core.errors import InputError
from crestfall.store.rows import Row


class NoTests(InputError):
    """A row of a data set that has no tests, or none that could grade anything. It is left out and counted; the file is
    read on."""


def id_of(row: Row, *names: str) -> str:
    """The first of these fields that is a name or a number; else the row's number, from 0, as data sets count."""
    for name in names:
        value = row.data.get(name)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            return str(value)
    return str(row.line - 1)


def text_of(value: Any) -> str:
    """The text of a prompt: a string, or what the user says last in a conversation."""
    if isinstance(value, list):
        said = [m.get("content") for m in value if isinstance(m, dict) and m.get("role") == "user"]
        value = said[-1] if said else ""
    return value if isinstance(value, str) else ""


def first_python(solutions: Any) -> str | None:
    """The first of a data set's solutions, out of its fence if it stands in one."""
    from crestfall.grading.extract import extract_code

    first = (
        next((s for s in solutions if isinstance(s, str) and s.strip()), None) if isinstance(solutions, list) else None
    )
    return (extract_code(first) or first) if first is not None and "```" in first else first
