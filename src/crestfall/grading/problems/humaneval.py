"""HumanEval (openai/human-eval), HumanEval+ (EvalPlus), HumanEval-X, MultiPL-E, LeetCodeDataset and BigCodeBench, as
rows with `test` code or with `base_input`/`plus_input`."""

from __future__ import annotations

import ast
from typing import Any

from crestfall.core.syntax import parsed
from crestfall.core.types import CallCase, CallTests, CodeTests, Problem, Tests
from crestfall.grading.names import parse
from crestfall.grading.problems.base import NoTests, id_of
from crestfall.store.rows import Row

STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Where the Codex paper (Chen et al. 2021, section 3.1) ends a completion; most published completions end so."""

# Where several results are right, by benchmark and function: the names of EvalPlus's special oracles in `evalplus`.
_ORACLES = {
    ("HumanEval", "find_zero"): "root",
    ("Mbpp", "are_equivalent"): "anything",
    ("Mbpp", "sum_div"): "zero",
    ("Mbpp", "surface_Area"): "surface",
    ("Mbpp", "digit_distance_nums"): "digits",
}
_SETS = ["similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum"]
_SETS += ["intersection_array", "find_dissimilar", "Diff"]
_ORACLES |= {("Mbpp", name): "set" for name in _SETS}
_ORACLES |= {("Mbpp", name): "something" for name in ("check_str", "text_match_three", "text_starta_endb")}


# Of HumanEval-X, MultiPL-E and their kin, by `language` or by what stands before the number of a task.
_OTHER_LANGUAGES = frozenset(
    """c cc cpp c++ csharp c# cs java javascript js typescript ts go golang rust ruby php perl lua r julia kotlin swift
    scala haskell bash sh""".split()  # noqa: SIM905
)


def recognises(row: Row) -> bool:
    if row.has("complete_prompt", "test", "entry_point"):
        return True
    if row.has("prompt", "entry_point"):
        return row.has("test") or row.has("base_input")
    code = "tests" if row.has("stop_tokens") or row.has("doctests") else "test"
    return row.has("prompt", code) and (_language(row) is not None or _last_function(row.data["prompt"]) is not None)


def problem(row: Row) -> Problem:
    """Raises NoTests: it is in another language; InputError."""
    if (language := _language(row)) in _OTHER_LANGUAGES:
        raise NoTests(f"{row.where}: its language is {language}")
    if str(row.data.get("suffix") or "").strip():
        raise NoTests(f"{row.where}: its program goes on behind the completion (infilling)")
    prompt = row.text("complete_prompt" if row.has("complete_prompt") else "prompt")
    entry = row.text("entry_point", _last_function(prompt))
    # LeetCodeDataset: `prompt` is the imports before any program, `query` what a model is asked, `completion` the
    # reference.
    query = row.data.get("query", row.data.get("instruct_prompt"))
    header = prompt if row.has("query") and parsed(prompt) is not None else ""
    solution = row.data.get("canonical_solution", row.data.get("completion"))
    tests: Tests
    if row.has("base_input") and not row.has("test"):
        tests = _differential(row, entry, prompt + row.text("canonical_solution"))
    else:
        tests = CodeTests(_code(row), entry)
    number = id_of(row, "task_id", "name")
    return Problem(
        number,
        query if isinstance(query, str) else prompt,
        tests,
        key=number,
        stub=prompt,
        header=header,
        reference=prompt + solution if isinstance(solution, str) else None,
        meta={"libs": row.data["libs"]} if row.has("libs") else {},
    )


def _code(row: Row) -> str:
    """ODEX keeps the head of `check` and its assertions apart."""
    name = "test" if row.has("test") else "tests"
    if isinstance(row.data[name], list) and row.has("test_start"):
        return row.text("test_start") + "".join(map(str, row.data[name]))
    return row.text(name)


def _language(row: Row) -> str | None:
    """The programming language that a row names; what stands before its number may be anything, if it is Python."""
    named = row.data.get("language") or row.data.get("lang")
    if not named and _last_function(row.data.get("prompt")) is None:
        named = id_of(row, "task_id").partition("/")[0]
    name = str(named).lower()
    return name if name in _OTHER_LANGUAGES or name in ("python", "py") else None


def _last_function(prompt: Any) -> str | None:
    """The function that a prompt leaves open."""
    tree = parse(prompt) if isinstance(prompt, str) else None
    last = tree.body[-1] if tree is not None and tree.body else None
    return last.name if isinstance(last, (ast.FunctionDef, ast.AsyncFunctionDef)) else None


def _differential(row: Row, entry: str, reference: str) -> CallTests:
    inputs = [row.items(name) if row.has(name) else [] for name in ("base_input", "plus_input")]
    for name, items in zip(("base_input", "plus_input"), inputs, strict=True):
        if not all(isinstance(args, list) for args in items):
            raise row.error(name, "a list of lists of arguments")
    cases = tuple(CallCase(tuple(args), None) for items in inputs for args in items)
    benchmark = id_of(row, "task_id").partition("/")[0]
    atol = float(row.data.get("atol") or 0)
    oracle = _ORACLES.get((benchmark, entry), "")
    return CallTests(entry, cases, "evalplus", atol, False, reference, oracle, len(inputs[0]))
