"""BigCodeBench: a function that uses libraries (named by `--package`), tested by a `unittest.TestCase`."""

from __future__ import annotations

from crestfall.core.types import CodeTests, Problem
from crestfall.grading.problems.base import id_of
from crestfall.store.rows import Row


def recognises(row: Row) -> bool:
    return row.has("complete_prompt", "test", "entry_point")


def problem(row: Row) -> Problem:
    """Raises InputError."""
    number, stub = id_of(row, "task_id"), row.text("complete_prompt")
    solution = row.data.get("canonical_solution")
    return Problem(
        number,
        row.text("instruct_prompt", stub),
        CodeTests(row.text("test"), row.text("entry_point")),
        key=number,
        stub=stub,
        reference=stub + solution if isinstance(solution, str) else None,
        meta={"libs": row.data.get("libs")},
    )
