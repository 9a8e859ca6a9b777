"""What nobody vouches for is shown as it is, and no further."""

import subprocess
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crestfall.core.text import MAX_COMBINING, for_shell, visible


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("a\x00b", "a␀b"),
        ("\x1b[31m", "␛[31m"),
        ("\x7f", "␡"),
        ("\x9b", "\\x9b"),
        ("\u202eabc", "\\u202eabc"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("\u2028", "\\u2028"),
        ("é 漢 ✓", "é 漢 ✓"),
    ],
)
def test_characters_that_act_or_hide_are_written_out(hostile, shown):
    assert visible(hostile) == shown


def test_one_line_unless_lines_are_allowed():
    assert visible("a\nb\tc") == "a ⏎ b c"
    assert visible("a\n\tb", lines=5) == "a\n\tb"


def test_what_is_cut_off_is_counted():
    assert visible("x" * 100_000, limit=10) == "xxxxxxxxxx … 99,990 more characters"
    assert visible("1\n2\n3\n4", lines=2).split("\n")[:2] == ["1", "2"]
    assert "more characters" in visible("1\n2\n3\n4", lines=2)
    assert visible("1\n2", lines=2) == "1\n2"


def test_stacked_marks_do_not_leave_their_line():
    shown = visible("a" + "\u0301" * 40)
    assert sum(unicodedata.combining(c) > 0 for c in shown) == MAX_COMBINING


@given(st.text(st.characters(), max_size=300))
def test_nothing_invisible_survives(text):
    shown = visible(text, lines=1_000)
    assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn") or c in "\n\t" for c in shown)
    shown.encode("utf-8")


@pytest.mark.parametrize("name", ["a b", "it's", "a\x1b[31m9", "\u202ex$(true)`\\\n\n", "\udcff\udc80b", "é\x00"[:1]])
def test_a_name_can_be_pasted_into_a_shell(name):
    echoed = subprocess.run(["bash", "-c", f"printf %s {for_shell(name)}"], capture_output=True, check=True).stdout
    assert echoed.decode("utf-8", "surrogateescape") == name
