"""Special judges: a program of the problem's that says whether an output is right, where several are.

It runs in a process of its own, confined as programs are, after the program that it judges has ended: this is the side
within that process, `special` the other.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

from crestfall.grading.sandbox import streams
from crestfall.grading.sandbox.encode import Encoder
from crestfall.grading.sandbox.harness import Channel, load, reported

# What a script finds in sys.argv[1:], as files: the input, the output that the problem gives, the program's.
FILES = ("input.txt", "correct_output.txt", "solution_output.txt")
FUNCTIONS = ("check", "checker", "judge", "is_correct", "verify", "validate", "grade", "special_judge")
_STDIN = ("input", "stdin", "inp", "input_data", "input_text", "problem_input", "test_input")
_EXPECTED = ("expected", "expected_output", "correct", "correct_output", "reference", "answer", "jury")


def run(channel: Channel, source: str, stdin: str, expected: str, output: str) -> None:
    """Run a checker as a script; where that printed nothing and it defines a function of a name in FUNCTIONS, call
    it."""
    texts = (stdin, expected, output)
    for name, text in zip(FILES, texts, strict=True):
        streams.names[name] = text.encode("utf-8", "surrogatepass")
    sys.argv[:] = ["checker.py", *FILES]
    namespace = load(source, "__main__")
    with contextlib.suppress(ValueError):  # closed
        sys.stdout.flush()
    if isinstance(namespace, str):
        channel.send(namespace)
        return
    try:
        function = next((namespace[name] for name in FUNCTIONS if callable(namespace.get(name))), None)
        answer = None
        if function is not None and not os.fstat(1).st_size:
            answer = _answer(function, source, texts)
        channel.send(f'["v",{Encoder(10_000, listed=True).encode(answer)}]')
    except BaseException as error:
        channel.send(reported(error))


def _answer(function: Callable[..., Any], source: str, texts: tuple[str, str, str]) -> Any:
    """What a function says: one that returns nothing anywhere says no by an assertion that fails."""
    try:
        answer = _call(function, *texts)
    except AssertionError:
        return False
    if answer is not None:
        return answer
    named = (node for node in ast.walk(ast.parse(source)) if getattr(node, "name", None) == function.__name__)
    inner = (node for definition in named for node in ast.walk(definition))
    return not any(isinstance(node, ast.Return) and node.value is not None for node in inner)


def _call(function: Callable[..., Any], stdin: str, expected: str, output: str) -> Any:
    """By the names of its parameters, whatever their order; `(input, output)` and `(input, expected, output)` by
    position where they say nothing."""
    parameters = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    roles = dict.fromkeys(_STDIN, stdin) | dict.fromkeys(_EXPECTED, expected)
    known = [roles[name.lower()] for name in parameters if name.lower() in roles]
    if len(parameters) - len(known) == 1:  # the one that is left is what the program printed
        return function(*(roles.get(name.lower(), output) for name in parameters))
    return function(*([output], [stdin, output], [stdin, expected, output])[len(parameters) - 1])
