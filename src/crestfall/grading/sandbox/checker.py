"""Special judges: a program of the problem's that says whether an output is right, where several are.

It runs in a process of its own, confined as programs are, after the program that it judges has ended: this is the side
within that process, `special` the other.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from crestfall.grading.sandbox import streams
from crestfall.grading.sandbox.encode import Encoder
from crestfall.grading.sandbox.harness import Channel, load, reported

# What a script finds in sys.argv[1:], as files: the input, the output that the problem gives, the program's.
FILES = ("input.txt", "correct_output.txt", "solution_output.txt")
FUNCTIONS = ("check", "checker", "judge", "is_correct", "verify", "validate", "grade", "special_judge")
# Words in the names of a function's parameters: what is neither the input nor the problem's output is the program's.
_STDIN = ("input", "stdin", "inp")
_EXPECTED = ("expected", "correct", "reference", "answer", "jury", "judge", "gold", "target")
_LOOKS = re.compile("argv|stdin|open|input|[pP]ath")


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
        function, answer = _function(namespace), None
        if not os.fstat(1).st_size:
            if function is not None:
                answer = _answer(function, source, texts)
            elif not _LOOKS.search(source):
                raise LookupError("it looks at nothing, and has no function of a known name")
        channel.send(f'["v",{Encoder(10_000, listed=True).encode(answer)}]')
    except BaseException as error:
        channel.send(reported(error))


def _function(namespace: dict[str, Any]) -> Callable[..., Any] | None:
    """A function of a known name, or a class's method."""
    kinds = [value for value in namespace.values() if isinstance(value, type) and value.__module__ == "__main__"]
    found = [namespace.get(name) for name in FUNCTIONS]
    found += [getattr(kind(), name) for kind in kinds for name in FUNCTIONS if name in vars(kind)]
    return next((function for function in found if callable(function)), None)


def _answer(function: Callable[..., Any], source: str, texts: tuple[str, str, str]) -> Any:
    """Answer of a checker function. One without any `return VALUE` rejects an output by a failing assertion."""
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
    several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = inspect.signature(function).parameters.values()
    wanted = [p for p in parameters if p.default is p.empty and p.kind not in several]
    roles = (_STDIN, _EXPECTED, ("",))
    places = [next(i for i, words in enumerate(roles) if any(word in p.name.lower() for word in words)) for p in wanted]
    if places.count(2) != 1:
        places = [[2], [0, 2], [0, 1, 2]][len(wanted) - 1]
    texts = [(stdin, expected, output)[place] for place in places]
    named = {p.name: text for p, text in zip(wanted, texts, strict=True) if p.kind is p.KEYWORD_ONLY}
    return function(*texts[: len(texts) - len(named)], **named)
