"""Rows of APPS and TACO, and of data sets for training, whose tests are the ground truth of a reward: verl and
PRIME/Eurus, SkyRL, DeepCoder, open-r1's verifiable-coding-problems and SYNTHETIC, KodCode, AceCode, NeMo-Gym,
open-instruct, rStar-Coder, ROLL; and rows of any other kind that hold tests under one of the usual names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from crestfall.core.errors import InputError
from crestfall.core.syntax import parsed
from crestfall.core.types import Problem, StdioTests
from crestfall.grading.problems.base import NoTests, first_python, id_of, text_of
from crestfall.grading.problems.truth import ASSIGNED, NAMES, PAIRS, plain, truth_of
from crestfall.store.rows import Row

_SPECS = ("reward_model", "reward_spec")
_TRUTHS = (
    *("verification_info", "verifier_metadata", "ground_truth", "tests", "test_cases", "unit_tests"),
    *("testcase", "testcases", "test_case", "cases", "test_list", "input_output", "test", "test_code", "test_script"),
    *("hidden_unit_tests", "unit_test", "unittest", "unittests", "assertions", "full_test_func", "info"),
)
_LABELS = ("label", "labels", "answer")
_IDS = (
    *("task_id", "problem_id", "question_id", "query_id", "qid", "uid", "uuid", "id", "pid", "hash_id", "_id"),
    "seq_id",
)
_REFERENCES = ("solution", "gold_standard_solution", "canonical_solution", "solution_code", "completion", "code")
# TACO's limits are meant for compiled programs: they are kept, and not applied.
_META = ("difficulty", "starter_code", "data_source", "source", "time_limit", "memory_limit")
_PROMPTS = ("question", "problem", "prompt", "problem_statement", "instruction", "messages", "description")


def recognises(row: Row) -> bool:
    """Anything with tests in it: this is asked last."""
    return _truth(row) is not None


def problem(row: Row) -> Problem:
    """Raises NoTests: an empty or unusable ground truth, as of the mathematics in mixed data sets; InputError."""
    value = _truth(row)
    name, parameters = _of_starter(row, value)
    try:
        truth = truth_of(value, row.where, _name(row) or name)
    except NoTests:
        raise
    except InputError as error:
        raise NoTests(str(error)) from None
    if name and {tuple(sorted(case.kwargs)) for case in getattr(truth.tests, "cases", ())} != {parameters}:
        raise NoTests(f"{row.where}: its arguments have other names than its starter code's")
    if row.data.get("checker") and isinstance(truth.tests, StdioTests):
        truth = replace(truth, tests=replace(truth.tests, checker=_python(row, "checker")))
    extra = plain(row.data.get("extra_info"))
    own = id_of(row, *_IDS)
    index = extra.get("index") if isinstance(extra, Mapping) and own == str(row.line - 1) else None
    number = own if index is None else str(index)
    prompt = next((text for name in _PROMPTS if (text := text_of(row.data.get(name)))), "")
    meta = {name: row.data[name] for name in _META if row.data.get(name)}
    return truth.problem(number, prompt, _reference(row), **meta)


def _truth(row: Row) -> Any:
    """The ground truth; None where there is nothing of the kind, an empty list where it is empty."""
    for name in _SPECS:
        if isinstance(spec := plain(row.data.get(name)), Mapping):
            return spec.get("ground_truth") or []
    for inputs, outputs in PAIRS:
        if inputs != "input" and row.has(inputs, outputs):  # those are an example's, in rows of instructions
            return {"inputs": row.data[inputs], "outputs": row.data[outputs]}
    present = [name for name in _TRUTHS if row.has(name)]
    filled = next((name for name in present if row.data[name] not in (None, "", [])), None)
    value = plain(row.data[filled]) if filled else [] if present else _labelled(row)
    if filled == "input_output" and isinstance(value, str):
        raise row.error(filled, "JSON in a string")
    return value


def _labelled(row: Row) -> Any:
    """OpenRLHF's and slime's label, if it has structure: in other data sets these are texts."""
    values = [plain(row.data[name]) for name in _LABELS if row.has(name)]
    return next((value for value in values if isinstance(value, (Mapping, list)) and value), None)


def _of_starter(row: Row, value: Any) -> tuple[str | None, tuple[str, ...]]:
    """Name and parameters of the function that GeeksforGeeks' problems in TACO ask for: their tests, whose inputs are
    `n = 5`, do not say it."""
    inputs = value.get("inputs") if isinstance(value, Mapping) else None
    first = inputs[0] if isinstance(inputs, list) and inputs else None
    starter = re.findall(r"\bdef\s+(\w+)\s*\(\s*self\s*,?([^)]*)\)", str(row.data.get("starter_code")))
    if len(starter) != 1 or not isinstance(first, str) or not ASSIGNED.match(first):
        return None, ()
    name, parameters = starter[0]
    return name, tuple(sorted(part.partition(":")[0].strip() for part in parameters.split(",")))


def _python(row: Row, name: str) -> str:
    """A field that has to hold a program of ours. Raises NoTests: it holds another language's, or none at all."""
    text = row.data[name]
    if isinstance(text, str) and (tree := parsed(text)) is not None and tree.body:
        return text
    raise NoTests(f"{row.where}: its {name} is no Python")


def _name(row: Row) -> str | None:
    """The function that the tests call: KodCode says it in `test_info`, DeepCoder in `metadata`."""
    info = plain(row.data.get("test_info"))
    first = info[0] if isinstance(info, list) and info else plain(row.data.get("metadata"))
    name = (first.get("function_name") or first.get("func_name")) if isinstance(first, Mapping) else None
    return name or next((row.data[key] for key in (*NAMES, "class_name") if row.data.get(key)), None)


def _reference(row: Row) -> str | None:
    given = row.data.get("solutions")
    if isinstance(given, str):
        given = plain(given)
    ones = [row.data.get(name) for name in _REFERENCES]
    return first_python(given if isinstance(given, list) else [given]) or first_python(ones)
