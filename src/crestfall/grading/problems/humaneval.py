"""HumanEval (openai/human-eval) and HumanEval+ (EvalPlus), as lines with `test` code or with
`base_input`/`plus_input`."""

from __future__ import annotations

import json

from crestfall.core.types import CodeTests, Problem
from crestfall.store.rows import Row

# HumanEval+ gives inputs and a reference; the reference runs beside the tests, never beside the program. `CACHE` lives
# as long as the worker keeps the tests, so that a reference runs once per input and not once per program.
_DIFFERENTIAL = """
import copy as _copy, json as _json, math as _math
{reference}
_reference = {entry}
_inputs = _json.loads({inputs!r})
def _same(a, b):
    if isinstance(a, float) or isinstance(b, float):
        return a == b or (isinstance(a, (int, float)) and isinstance(b, (int, float)) and
                          (_math.isclose(a, b, rel_tol=1e-07, abs_tol={atol}) or (a != a and b != b)))
    if isinstance(a, (list, tuple)) and type(a) is type(b):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    return a == b
def check(candidate):
    for i, args in enumerate(_inputs):
        if i not in CACHE:
            CACHE[i] = _reference(*_copy.deepcopy(args))
        given = candidate(*_copy.deepcopy(args))
        assert _same(CACHE[i], given), f"input {{i + 1}}"
"""


def recognises(row: Row) -> bool:
    return row.has("prompt", "entry_point") and (row.has("test") or row.has("base_input"))


def problem(row: Row) -> Problem:
    """Raises InputError."""
    entry = row.text("entry_point")
    prompt = row.text("prompt")
    solution = row.data.get("canonical_solution")
    if row.has("test"):
        code = row.text("test")
    else:
        reference = prompt + row.text("canonical_solution")
        inputs = json.dumps(row.items("base_input") + row.items("plus_input"))
        atol = float(row.data.get("atol") or 0)
        code = _DIFFERENTIAL.format(reference=reference, entry=entry, inputs=inputs, atol=atol)
    return Problem(
        row.task_id("task_id"),
        prompt,
        CodeTests(code, entry),
        key=row.task_id("task_id"),
        stub=prompt,
        reference=prompt + solution if isinstance(solution, str) else None,
    )
