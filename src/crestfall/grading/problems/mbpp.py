"""MBPP: full and sanitized (google-research), and MBPP+ (EvalPlus). The program is whole: there is no stub."""

from __future__ import annotations

import ast

from crestfall.core.syntax import parsed
from crestfall.core.types import CodeTests, Problem
from crestfall.grading.problems.base import id_of
from crestfall.store.rows import Row


def recognises(row: Row) -> bool:
    return row.has("code", "test_list") and (row.has("text") or row.has("prompt"))


def problem(row: Row) -> Problem:
    """Raises InputError."""
    setup = [row.text("test_setup_code", "")]
    if row.has("test_imports"):
        setup = row.strings("test_imports")
    if row.has("test"):  # MBPP+
        tests = [row.text("test")]
    else:
        tests = row.strings("test_list") + (
            row.strings("challenge_test_list") if row.has("challenge_test_list") else []
        )
    reference = row.text("code")
    code = "\n".join([*setup, *tests])
    number = id_of(row, "task_id")
    return Problem(
        number,
        row.text("text" if row.has("text") else "prompt"),
        CodeTests(code, tested_name(code, reference)),
        key=number,
        reference=reference,
    )


def tested_name(tests: str, reference: str) -> str | None:
    """The function of `reference` that the tests call; the last one defined where they call several."""
    program, code = parsed(reference), parsed(tests)
    if program is None or code is None:
        return None
    defined = [node.name for node in program.body if isinstance(node, ast.FunctionDef)]
    used = {node.id for node in ast.walk(code) if isinstance(node, ast.Name)}
    return next((name for name in reversed(defined) if name in used), None)
