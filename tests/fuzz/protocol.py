"""A coverage-guided fuzzer over what the trusted side does with a program's bytes: read, rebuild, compare, show.

    python tests/fuzz/protocol.py [libFuzzer options, e.g. -max_total_time=3600 CORPUS]        needs atheris

Nothing but Malformed and MemoryError may come out of reading, and nothing at all of comparing. Values that print must
be rebuilt as they were sent.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["crestfall.grading"]):
    from crestfall.grading.extract import find_code  # noqa: F401  (instrumented with the rest of the package)
    from crestfall.grading.sandbox import compare, decode, evalplus, outcome
    from crestfall.grading.sandbox.encode import Encoder
    from crestfall.grading.sandbox.worker import printable

EXPECTED = [0, 1.5, float("nan"), 10**400, "x", [1, (2.0, {"a": {3}})], {1: 2}, None, True, b"y", 1j, frozenset({1})]


def one(data: bytes) -> None:
    if len(data) > 20_000:
        return
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
