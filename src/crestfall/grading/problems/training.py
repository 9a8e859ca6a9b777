"""Rows of data sets for training, whose tests are the ground truth of a reward: verl and PRIME/Eurus, SkyRL, DeepCoder,
open-r1's verifiable-coding-problems and SYNTHETIC, KodCode, AceCode."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

from crestfall.core.types import Problem
from crestfall.grading.problems.base import first_python, id_of, text_of
from crestfall.grading.problems.truth import truth_of
from crestfall.store.rows import Row

_SPECS = ("reward_model", "reward_spec")
_META = ("difficulty", "starter_code", "data_source", "source")
_PROMPTS = ("question", "problem", "prompt", "problem_statement")


def recognises(row: Row) -> bool:
    return (
        any(isinstance(_plain(row.data.get(name)), Mapping) for name in _SPECS)
        or row.has("verification_info")
        or row.has("question", "solution", "test")
        or (any(row.has(name) for name in _PROMPTS) and (row.has("tests") or row.has("test_cases")))
    )


def problem(row: Row) -> Problem:
    """Raises NoTests: an empty or unusable ground truth; InputError."""
    truth = truth_of(_ground_truth(row), row.where, _name(row))
    extra = _plain(row.data.get("extra_info"))
    own = id_of(row, "task_id", "problem_id", "question_id", "uid", "id")
    index = extra.get("index") if isinstance(extra, Mapping) and own == str(row.line - 1) else None
    number = own if index is None else str(index)
    prompt = next((text for name in _PROMPTS if (text := text_of(row.data.get(name)))), "")
    meta = {name: row.data[name] for name in _META if row.data.get(name)}
    return truth.problem(number, prompt, _reference(row), **meta)


def _ground_truth(row: Row) -> Any:
    for name in _SPECS:
        if isinstance(spec := _plain(row.data.get(name)), Mapping):
            return spec.get("ground_truth") or []
    for name in ("verification_info", "tests", "test_cases", "test"):
        if row.data.get(name) is not None:
            return _plain(row.data[name])
    return []


def _plain(value: Any) -> Any:
    """JSON, or a Python literal, as some data sets print it."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        pass
    try:
        return ast.literal_eval(value) if value[:1] in "{[" else value
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def _name(row: Row) -> str | None:
    """The function that the tests call: KodCode says it in `test_info`, DeepCoder in `metadata`."""
    info = _plain(row.data.get("test_info"))
    first = info[0] if isinstance(info, list) and info else _plain(row.data.get("metadata"))
    name = (first.get("function_name") or first.get("func_name")) if isinstance(first, Mapping) else None
    return name or row.data.get("entry_point") or row.data.get("fn_name")


def _reference(row: Row) -> str | None:
    given = row.data.get("solutions")
    if isinstance(given, str):
        given = _plain(given)
    one = row.data.get("solution") or row.data.get("gold_standard_solution")
    return first_python(given if isinstance(given, list) else [given]) or first_python([one])
