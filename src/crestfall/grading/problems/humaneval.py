"""HumanEval (openai/human-eval), HumanEval+ (EvalPlus) and LeetCodeDataset, as rows with `test` code or with
`base_input`/`plus_input`."""

from __future__ import annotations

from crestfall.core.types import CallCase, CallTests, CodeTests, Problem, Tests
from crestfall.grading.problems.base import id_of
from crestfall.store.rows import Row

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


def recognises(row: Row) -> bool:
    return row.has("prompt", "entry_point") and (row.has("test") or row.has("base_input"))


def problem(row: Row) -> Problem:
    """Raises InputError."""
    entry = row.text("entry_point")
    prompt = row.text("prompt")
    # LeetCodeDataset: `prompt` is the imports, `query` what a model is asked, `completion` the reference.
    query = row.data.get("query")
    solution = row.data.get("canonical_solution", row.data.get("completion"))
    tests: Tests
    if row.has("test"):
        tests = CodeTests(row.text("test"), entry)
    else:
        tests = _differential(row, entry, prompt + row.text("canonical_solution"))
    return Problem(
        id_of(row, "task_id"),
        query if isinstance(query, str) else prompt,
        tests,
        key=id_of(row, "task_id"),
        stub=prompt,
        reference=prompt + solution if isinstance(solution, str) else None,
    )


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
