"""Tests as data sets for training keep them: the `ground_truth` of a reward, in whichever of the usual shapes.

    {"inputs": [...], "outputs": [...], "fn_name": "f"}                 APPS, TACO, PRIME/Eurus, verl, DeepCoder
    {"input": [...], "output": [...]}                                   CodeContests
    [{"input": ..., "output": ..., "testtype" or "type": ..., "fn_name" or "metadata": {"func_name": ...}}]
                                                                        LiveCodeBench, open-r1, DeepCoder, SkyRL
    {"test_cases": ...}, {"tests": ...}, {"ground_truth": ...}          one of these inside of another object
    {"assert_case" or "functional" or "test_code": "assert ...", "entry_point": "f", "import_prefix": ...}
    ["assert f(1) == 2", ...], "assert f(1) == 2"                       test code

Any of them may be JSON in a string, or packed as LiveCodeBench packs its private tests.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crestfall.core.errors import InputError
from crestfall.core.syntax import parsed
from crestfall.core.types import CallCase, CallTests, CodeTests, Problem, ProblemLimits, StdioCase, StdioTests, Tests
from crestfall.grading.problems.base import NoTests
from crestfall.grading.problems.packed import unpacked
from crestfall.grading.sandbox.header import LEETCODE
from crestfall.store.jsonl import loads

# APPS's own checker compares with numpy.allclose.
TOLERANCE = 1e-5
_INSIDE = ("ground_truth", "test_cases", "tests", "input_output", "verification_info", "unit_tests", "test_list")
_CODE = ("assert_case", "functional", "test_code", "pytest", "test", "asserts", "assert_code")
NAMES = ("fn_name", "func_name", "function_name", "entry_point")
PAIRS = (
    *(("inputs", "outputs"), ("input", "output"), ("stdin", "stdout")),
    *(("test_input", "test_output"), ("test_inputs", "test_outputs")),
)
_INPUTS = ("input", "stdin", "inputs", "in", "args")
_OUTPUTS = ("output", "stdout", "outputs", "expected_output", "expected_stdout", "expected", "out")
_KINDS = ("testtype", "test_type", "type")
_CALLS = ("functional", "function_call", "call", "call_based")
ASSIGNED = re.compile(r"(\w+)\s*((?:\[\w*\])*)\s*=\s*(.*)")


@dataclass(frozen=True)
class Truth:
    """Tests, and the imports that programs get before them."""

    tests: Tests
    header: str = ""

    def problem(self, task_id: str, prompt: str = "", reference: str | None = None, **meta: Any) -> Problem:
        """A problem with these tests. Limits hold for each test; LeetCode's names are there where functions are called,
        as in every trainer that reads such rows."""
        calls = not isinstance(self.tests, CodeTests)
        return Problem(
            task_id,
            prompt,
            self.tests,
            key=task_id,
            header=self.header or (LEETCODE if calls else ""),
            limits=ProblemLimits(per_test=calls),
            reference=reference,
            meta=meta,
        )


def truth_of(value: Any, where: str, name: str | None = None) -> Truth:
    """The tests of a ground truth.

    Args:
        where: what messages begin with.
        name: the function that the tests call, where the value does not say so.

    Raises:
        NoTests: it holds none, or as many inputs as no outputs.
        InputError: none of the shapes.
    """
    value = plain(value)
    if isinstance(value, Mapping):
        return _of_object(value, where, name)
    if isinstance(value, str):
        return Truth(_code(value, where, name))
    if isinstance(value, list):
        if not value:
            raise NoTests(f"{where}: no tests")
        if all(isinstance(item, Mapping) for item in value):
            if all("assert_code" in item for item in value):
                return Truth(_code("\n".join(str(item["assert_code"]) for item in value), where, name))
            return Truth(_of_cases(value, where, name))
        if all(isinstance(item, str) for item in value):
            if len(value) == 1 and value[0].lstrip().startswith(("[", "{")):  # a list of tests in a list
                return truth_of(value[0], where, name)
            return Truth(_code("\n".join(value), where, name))
    raise InputError(f"{where}: tests of no known shape: {str(value)[:60]!r}")


def checked(value: Any, where: str, name: str | None) -> Tests:
    """The tests of a row that is not to be left out for broken ones. Raises NoTests: it has none; InputError."""
    try:
        return truth_of(value, where, name).tests
    except NoTests as error:
        if str(error).endswith(": no tests"):
            raise
        raise InputError(str(error)) from None


def plain(value: Any) -> Any:
    """Arrays as lists (parquet files and verl give numpy's); JSON, Python's literals (as some data sets print them) and
    packed tests as what they say. Raises ValueError: packed tests that are broken."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, (str, bytes)):
        return value
    text = value.decode() if isinstance(value, bytes) else value
    try:
        return loads(text)
    except ValueError:
        if len(text) > 16 and text[:2] == "eJ":  # zlib's first bytes in base64
            return unpacked(text)
    try:
        return ast.literal_eval(text) if text[:1] in ("{", "[") else text
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _of_object(value: Mapping[str, Any], where: str, name: str | None) -> Truth:
    name = next((value[key] for key in NAMES if value.get(key)), name)
    for key in _CODE:  # verl's rows may have empty inputs, and outputs that are null, beside their assertions
        if "".join(map(str, value.get(key) or "")).strip():
            truth = truth_of(value[key], where, name)
            return replace(truth, header=str(value.get("import_prefix") or ""))
    for inputs, outputs in PAIRS:
        if inputs in value and outputs in value and plain(value[inputs]) not in ([], None):
            return Truth(_of_lists(value[inputs], value[outputs], where, name))
    for key in _INSIDE:
        if value.get(key) is not None:
            return truth_of(value[key], where, name)
    if "inputs" in value or "input" in value:
        raise NoTests(f"{where}: no tests")
    raise InputError(f"{where}: tests of no known shape: {{{', '.join(map(str, value))}}}")


def _of_lists(inputs: Any, outputs: Any, where: str, name: str | None) -> Tests:
    inputs, outputs = plain(inputs), plain(outputs)
    if not isinstance(inputs, Sequence) or not isinstance(outputs, Sequence) or isinstance(inputs, str):
        raise NoTests(f"{where}: inputs and outputs are no lists")
    if len(inputs) != len(outputs):
        raise NoTests(f"{where}: {len(inputs)} inputs and {len(outputs)} outputs")
    if not inputs:
        raise NoTests(f"{where}: no tests")
    if not name:
        return stdio(inputs, outputs)
    # Each output stands in a list of its own in most of APPS: it is taken out where that holds for all of them.
    if all(isinstance(output, list) and len(output) == 1 for output in outputs):
        outputs = [output[0] for output in outputs]
    return _calls(name, inputs, outputs, where)


def _of_cases(cases: list[Mapping[str, Any]], where: str, name: str | None) -> Tests:
    kinds = set()
    for case in cases:
        own = plain(case.get("metadata"))
        own = own if isinstance(own, Mapping) else {}
        name = next((value for key in NAMES if (value := case.get(key) or own.get(key))), name)
        kinds.add(str(next((case[key] for key in _KINDS if case.get(key)), "")).lower())
    if not all(any(key in case for key in _INPUTS) and any(key in case for key in _OUTPUTS) for case in cases):
        raise NoTests(f"{where}: a test without an input or an output")
    inputs, outputs = ([_first(case, keys) for case in cases] for keys in (_INPUTS, _OUTPUTS))
    accepted = [case.get("accepted") or [] for case in cases]
    if not all(isinstance(more, list) for more in accepted):
        raise NoTests(f"{where}: 'accepted' that is not a list")
    functional = {kind for kind in kinds if kind in _CALLS}
    if functional and len(kinds) > 1:
        raise NoTests(f"{where}: tests of several kinds: {', '.join(sorted(kinds))}")
    if (functional or "args" in cases[0]) and not name:
        raise NoTests(f"{where}: tests that call a function, whose name ('entry_point') is not there")
    if functional or (name and kinds == {""} and "stdin" not in cases[0]):
        # SYNTHETIC's tests hold the output in a list of its own, as APPS's do.
        if functional and all(isinstance(output, list) and len(output) == 1 for output in outputs):
            outputs = [output[0] for output in outputs]
        calls = _calls(str(name), inputs, outputs, where, typed=bool(functional))
        more = zip(calls.cases, cases, accepted, strict=True)
        called = (replace(c, kwargs={**c.kwargs, **(o.get("kwargs") or {})}, accepted=tuple(a)) for c, o, a in more)
        return replace(calls, cases=tuple(called))
    if None in outputs:
        raise NoTests(f"{where}: a test without an output")
    io = stdio(inputs, outputs)
    run = (replace(c, accepted=tuple(map(_lines, a))) for c, a in zip(io.cases, accepted, strict=True))
    return replace(io, cases=tuple(run))


def _first(case: Mapping[str, Any], names: Sequence[str]) -> Any:
    value = next((case[name] for name in names if case.get(name) is not None), None)
    if isinstance(value, Mapping) and len(value) == 1 and (inner := value.keys() & {"stdin", "stdout"}):
        return value[inner.pop()]  # SandboxFusion's
    return value


def _calls(name: str, inputs: Sequence[Any], outputs: Sequence[Any], where: str, typed: bool = True) -> CallTests:
    """Arguments as a list, as an object by name, as lines of JSON, one each (LiveCodeBench), or as Python writes them.

    `typed`: texts have to be one of these; else they are the one argument, and the result, themselves.
    """
    try:
        cases = tuple(_call(args, output) for args, output in zip(inputs, outputs, strict=True))
    except ValueError:
        if typed or not all(isinstance(args, str) for args in inputs):
            raise NoTests(f"{where}: arguments or results that are not JSON") from None
        cases = tuple(CallCase((args,), output) for args, output in zip(inputs, outputs, strict=True))
    return CallTests(name, cases, "json", TOLERANCE)


def _call(args: Any, output: Any) -> CallCase:
    """Raises ValueError."""
    if isinstance(args, Mapping) and args and all(isinstance(key, str) and key.isidentifier() for key in args):
        return CallCase((), output, dict(args))
    if not isinstance(args, str):
        return CallCase(tuple(args) if isinstance(args, list) else (args,), output)
    try:
        return CallCase(tuple(loads(line) for line in args.split("\n") if line.strip()), _result(output))
    except ValueError:
        positional, named = _written(args)
        return CallCase(positional, _result(output), named)


def _written(args: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """`nums = [3, 3], target = 6`, `[3, 3], 6`, and GeeksforGeeks' lines `arr[] = {3, 3}`. Raises ValueError."""
    if all(lines := [ASSIGNED.fullmatch(line) for line in args.strip().split("\n")]):
        listed = str.maketrans("{}", "[]")
        args = ", ".join(f"{m[1]} = {m[3].translate(listed) if m[2] else m[3]}" for m in lines if m)
    try:
        call = ast.parse(f"f({args})", mode="eval").body
        assert isinstance(call, ast.Call)
        named = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg is not None}
        return tuple(ast.literal_eval(arg) for arg in call.args), named
    except (SyntaxError, AssertionError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _result(output: Any) -> Any:
    """Raises ValueError."""
    if not isinstance(output, str):
        return output
    try:
        return loads(output)
    except ValueError:
        try:
            return ast.literal_eval(output)
        except (SyntaxError, MemoryError, RecursionError) as error:
            raise ValueError(str(error)) from None


def stdio(inputs: Sequence[Any], outputs: Sequence[Any]) -> StdioTests:
    """Standard input and output; either may be a list of lines."""
    cases = tuple(StdioCase(_lines(a), _lines(b)) for a, b in zip(inputs, outputs, strict=True))
    return StdioTests(cases, TOLERANCE)


def _lines(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(_lines, value))
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, (dict, bool)) or value is None else _number(value)


def _number(value: Any) -> str:
    from decimal import Decimal

    return f"{Decimal(value):f}" if isinstance(value, int) else str(value)


def _code(text: str, where: str, name: str | None) -> CodeTests:
    tree = parsed(text)
    if tree is None:
        raise InputError(f"{where}: tests of no known shape: {text[:60]!r}")
    if not tree.body:
        raise NoTests(f"{where}: no tests")
    return CodeTests(text, name)
