"""Warm-up in the zygote: run beforehand the code that every program's process runs before and around its program.

A process that has been forked pays for each page that it writes to first. Code that has run here is specialised, its
methods are in the interpreter's cache, and its modules are loaded: none of that is written again in a fork.
"""

from __future__ import annotations

import contextlib
import marshal
import pickle
import random
import resource
import signal
import socket
from typing import Any

from crestfall.grading.sandbox import contestant, harness, linux
from crestfall.grading.sandbox.encode import Encoder

TIMES = 20  # CPython specialises a function once it has been called eight times
PROGRAM = "def f(x):\n    if not x:\n        raise ValueError('x')\n    return [f'{y}' for y in x]\n"
REQUESTS: tuple[tuple[Any, ...], ...] = (
    ("name", "f", b""),
    *(("call", 0, pickle.dumps(([argument], {}))) for argument in ([1, 2], "ab", [])),
)


def rehearse() -> None:
    code = marshal.dumps(harness.compiled(PROGRAM))
    for _ in range(TIMES):
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        linux.limit(resource.RLIMIT_CORE, 0)
        random.seed()
        _serve(("code", code, PROGRAM, "", 1000), *REQUESTS)
        _call()
        namespace = harness.load(PROGRAM, harness.MODULE)
        assert isinstance(namespace, dict)
        Encoder(1000, listed=True).encode([namespace["f"]([1]), (1.5, "a", {1: True}), None])
        harness.load("def f(:", harness.MODULE)
        harness.fault(ValueError("x"))


def _serve(*messages: tuple[Any, ...]) -> None:
    """A program with tests that are code, as far as `messages` go; an empty one ends it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for body in (*map(marshal.dumps, messages), b""):
            ours.sendall(len(body).to_bytes(8, "little") + body)
        with contextlib.suppress(EOFError):
            contestant.main(theirs.fileno())


def _call() -> None:
    """A program with tests that are calls."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [(([1, 2],), {}), (("ab",), {})]
        contestant.run_calls(harness.Channel(theirs.fileno()), PROGRAM, "", "f", calls, 1000, False, True)
