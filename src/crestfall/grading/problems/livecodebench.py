"""LiveCodeBench: public and private tests, of a program or (with `func_name`) of a method of `class Solution`.

Private tests are JSON, or base64 of zlib of a pickle of a string of JSON. The pickle is read by an unpickler that knows
no class and no function, so that nothing but strings, numbers and containers of them can come out of it.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import pickle
import zlib
from typing import Any, NoReturn

from crestfall.core.errors import InputError
from crestfall.core.types import CallCase, CallTests, Problem, ProblemLimits, StdioCase, StdioTests
from crestfall.grading.sandbox.header import LEETCODE
from crestfall.store.rows import Row

MAX_TESTS_BYTES = 512 << 20


def recognises(row: Row) -> bool:
    return row.has("public_test_cases", "question_content")


def problem(row: Row) -> Problem:
    """Raises InputError."""
    cases = _cases(row, "public_test_cases")
    if row.has("private_test_cases"):
        cases += _cases(row, "private_test_cases")
    if not cases:
        raise row.error("public_test_cases", "at least one test")
    kinds = {case["testtype"] for case in cases}
    if kinds - {"stdin", "functional"} or len(kinds) != 1:
        raise InputError(f"{row.where}: 'testtype' of the tests is {sorted(kinds)}, expected stdin or functional")
    number = row.task_id("question_id")
    return Problem(
        number,
        row.text("question_content"),
        _functional(row, cases) if kinds == {"functional"} else _stdin(cases),
        key=number,
        header=LEETCODE,
        limits=ProblemLimits(per_test=True),
        meta={"difficulty": row.data.get("difficulty"), "starter_code": row.data.get("starter_code", "")},
    )


def _cases(row: Row, name: str) -> list[dict[str, str]]:
    value = row.data[name]
    try:
        cases = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        cases = _packed(row, name, value)
    fields = ("input", "output", "testtype")
    if not isinstance(cases, list) or not all(
        isinstance(case, dict) and all(isinstance(case.get(field), str) for field in fields) for case in cases
    ):
        raise row.error(name, "a list of objects with the strings 'input', 'output' and 'testtype'")
    return cases


class _StringsOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _packed(row: Row, name: str, value: str) -> Any:
    try:
        unzip = zlib.decompressobj()
        data = unzip.decompress(base64.b64decode(value, validate=True), MAX_TESTS_BYTES)
        if unzip.unconsumed_tail:
            raise row.error(name, f"at most {MAX_TESTS_BYTES} bytes of tests")
        return json.loads(_StringsOnly(io.BytesIO(data)).load())
    except (binascii.Error, zlib.error, ValueError, TypeError, EOFError, pickle.UnpicklingError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{row.where}: field {name!r} is neither JSON nor packed tests: {error}") from None


def _functional(row: Row, cases: list[dict[str, str]]) -> CallTests:
    metadata = row.embedded("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("func_name"), str):
        raise row.error("metadata", "an object with the string 'func_name'")
    try:
        calls = tuple(
            CallCase(tuple(json.loads(line) for line in case["input"].split("\n") if line), json.loads(case["output"]))
            for case in cases
        )
    except ValueError:
        raise InputError(f"{row.where}: a functional test whose arguments or output are not JSON") from None
    return CallTests(metadata["func_name"], calls, "json")


def _stdin(cases: list[dict[str, str]]) -> StdioTests:
    return StdioTests(tuple(StdioCase(case["input"], case["output"]) for case in cases))
