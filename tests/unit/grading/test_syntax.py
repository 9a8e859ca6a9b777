"""Syntax is judged without a process for short programs: the same verdicts, and nothing short strains the parser."""

from __future__ import annotations

import marshal
import subprocess
import sys

import pytest

from crestfall.grading.sandbox.judge import SHORT, check

NESTED = ["-", "~", "not_", "(", "[", "{", "lambda:", "x=", "1+", "a_if_b_else_", "f(", "**", "await_", "(yield_"]
NESTED += ["(x:=", 'f"{', "if_1:", "[x_for_x_in_", "try:", "class_A:", "x[-"]


def nested(piece: str) -> str:
    piece = piece.replace("_", " ")
    return piece * (SHORT // len(piece))


@pytest.mark.parametrize(
    "source", ["def f(:", "x = = 1", "\0", "é = (", "\ud800 = 1", "return 1", "if x:\n\ty\n        z"]
)
def test_what_does_not_parse_is_named(source):
    assert "Error" in check(source)[0]


@pytest.mark.parametrize("source", ["", "x = 1", "def f(x):\n    return x", "while True: pass", "1 / 0"])
def test_what_parses_is_left_to_run(source):
    assert check(source)[0] is None


def test_long_sources_get_a_process_of_their_own():
    assert check("(" * (SHORT + 1)) == (None, None)


def test_a_program_gets_the_code_that_was_compiled_for_it():
    assert eval(marshal.loads(check("x = 1")[1])) is None


TO_MUCH = "\n".join(f"a = ({i},) * 256" for i in range(100))


@pytest.mark.parametrize("source", ["x = 1\nx is 1", TO_MUCH, "x" * (SHORT + 1)], ids=["warns", "to much", "long"])
def test_the_rest_is_compiled_in_its_own_process(source):
    assert check(source) == (None, None)


def test_no_short_source_brings_the_parser_down():
    """In a process of its own: a crash of the parser would take this one along."""
    script = "import sys; from crestfall.grading.sandbox.judge import check\n"
    script += """
for source in eval(sys.stdin.read()):
    try: check(source)
    except MemoryError: pass
print('alive')"""
    sources = [nested(piece) for piece in NESTED] + ["def f(x):\n    return " + nested(p)[:-25] + "1" for p in NESTED]
    done = subprocess.run([sys.executable, "-c", script], input=repr(sources), text=True, capture_output=True)
    assert done.stdout == "alive\n", done.stderr
