"""A coverage-guided fuzzer over what the trusted side does with a program's bytes (read, rebuild, compare, show) and
with a model's text (make a program of it).

    python tests/fuzz/protocol.py [libFuzzer options, e.g. -max_total_time=3600 CORPUS]        needs atheris

Nothing but Malformed and MemoryError may come out of reading, and nothing at all of comparing and of making programs.
Values that print must be rebuilt as they were sent. The first byte of the input says which of the two it is for.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["crestfall.grading"]):
    from crestfall.core.types import CallTests, CodeTests, Problem, StdioTests
    from crestfall.grading.extract import extract_code
    from crestfall.grading.programs import program_of
    from crestfall.grading.sandbox import compare, decode, evalplus, outcome
    from crestfall.grading.sandbox.encode import Encoder
    from crestfall.grading.sandbox.worker import printable

EXPECTED = [0, 1.5, float("nan"), 10**400, "x", [1, (2.0, {"a": {3}})], {1: 2}, None, True, b"y", 1j, frozenset({1})]
STUB = 'import math\n\ndef f(xs):\n    """Of numbers.\n\n    >>> f([1])\n    """\n'
PROBLEMS = [
    Problem("calls", "", CallTests("f", ()), "calls"),
    Problem("stdin", "", StdioTests(()), "stdin"),
    Problem("stub", "", CodeTests("def check(c):\n    assert c([1]) == 1\n", "f"), "stub", stub=STUB),
]


def one(data: bytes) -> None:
    if len(data) > 20_000:
        return
    (answer if data[:1] > b"\x7f" else protocol)(data[1:])


def answer(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for problem in PROBLEMS:
        program = program_of(problem, text)
        assert program_of(problem, text) == program
        program.encode()
    extract_code(text.encode("utf-8", "replace").decode(), "f")


def protocol(data: bytes) -> None:
    try:
        message = decode.parse(data)
        value = decode.rebuild(message, arrays=b"ndarray" in data)
    except (decode.Malformed, MemoryError):
        return
    printable(outcome.shown(value))
    for expected in [*EXPECTED, value]:
        for mode in ("exact", "json"):
            compare.equal(expected, value, mode, 1e-6)
            compare.equal(value, expected, mode, 0.0)
        # A set of a range may take any memory and time: there the judge's own limits hold, which are not in force here.
        for oracle in ("", "something", "zero", "root", *(() if "range(" in repr(value) else ("set",))):
            evalplus.same(([1, 2],), expected, value, 1e-6, oracle)
    text = data.decode("utf-8", "replace")
    compare.output_difference(text, text[::-1], 1e-6)
    assert compare.output_difference(text, text) is None
    again = decode.rebuild(decode.parse(Encoder(1 << 20, listed=False).encode(value).encode()), arrays=True)
    assert not _plain(value) or compare.equal(value, again), (value, again)


# Objects of a program, arrays (whose equality is an array), NaNs that compare with nothing (signalling, or in a set).
ODD = ("Reference(", "array(", "sNaN", "nan")


def _plain(value: object) -> bool:
    """Values that are equal to themselves by more than being the same."""
    return compare.equal(value, value) and not any(word in repr(value) for word in ODD)


if __name__ == "__main__":
    sys.set_int_max_str_digits(0)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
