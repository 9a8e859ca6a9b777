"""HumanEval (openai/human-eval) and HumanEval+ (EvalPlus), as lines with `test` code or with
`base_input`/`plus_input`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from crestfall.io.rows import Row
from crestfall.registry import register
from crestfall.tasks.benchmark import Benchmark
from crestfall.types import CodeTests, Problem

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


# Where the Codex paper (Chen et al. 2021, section 3.1) ends a completion.
STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")

INSTRUCTION = "Complete this Python function. Answer with the whole program in one code block.\n\n"


@register("tasks", "humaneval")
@dataclass(frozen=True)
class HumanEval(Benchmark):
    """HumanEval or HumanEval+: a signature with its docstring, to be completed."""

    name: ClassVar[str]

    form: Literal["completion", "instruction"] = "completion"
    """`completion`: the prompt is signature and docstring alone, as a base model wants it. `instruction`: the same in a
    code block behind a sentence that asks for it, for chat models. The stub, and with it what is graded, is the same: a
    whole program behind the stub defines the function anew."""

    def read(self, row: Row) -> Problem:
        return problem(row)

    def pose(self, problem: Problem, rows: Mapping[str, Row]) -> Problem:
        if self.form == "completion":
            return replace(problem, meta={"stop": STOP})
        return replace(problem, prompt=f"{INSTRUCTION}```python\n{problem.prompt.rstrip()}\n```\n")
