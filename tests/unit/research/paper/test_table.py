"""Cells as people and programs read them."""

from __future__ import annotations

import csv

import pytest

from crestfall.core.errors import InputError
from research.paper.page import fill
from research.paper.published import Published, published
from research.paper.table import Column, Table, comma_separated, latex, markdown, shown

INFERRED = Published(0.229, None, None, "infer", "")


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, "points", "–"),
        (0.1234, "points", "12.3"),
        (-0.0001, "points", "0.0"),
        ((0.05, 0.183), "points", "[5.0, 18.3]"),
        (0.36, "share", "0.36"),
        (0.0004, "p", "<0.001"),
        (7, "count", "7"),
        ("a | b", "text", "a | b"),
        (Published(0.118, 0.052, 0.183, "paper", ""), "points", "11.8 [5.2, 18.3]"),
        (Published(None, 0.378, 0.479, "paper", ""), "points", "[37.8, 47.9]"),
        (INFERRED, "points", "22.9*"),
    ],
)
def test_shown(value: object, kind: str, text: str) -> None:
    assert shown(value, kind) == text  # type: ignore[arg-type]


def test_formats_escape_what_is_theirs() -> None:
    table = Table(
        "t", "100% & more", (Column("a_b"), Column("x", "points", "published")), (("a|b", INFERRED),), ("n_1",)
    )
    assert r"| a\|b | 22.9\* |" in markdown(table)
    tex = latex(table)
    assert r"\caption{100\% \& more. n\_1}" in tex
    assert r"a\_b & x \\" in tex
    assert next(csv.reader(comma_separated(table).splitlines())) == ["a_b", "x", "x low", "x high"]


def test_a_csv_has_every_digit_and_the_same_columns_whatever_is_known() -> None:
    columns = (Column("arm"), Column("i", "points", "interval"), Column("v", "points"))
    table = Table("t", "", columns, (("a", (0.1, 1 / 3), 2 / 3), ("b", None, None)))
    assert comma_separated(table) == "arm,i low,i high,v\na,0.1,0.333333,0.666667\nb,,,\n"


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="a row has more or fewer cells"):
        Table("t", "", (Column("a"),), ((1, 2),))


def test_what_is_not_known_of_the_paper_is_none() -> None:
    assert published(6, "es", "end_of_chain") is None
    known = published(6, "naive", "end_of_chain")
    assert known is not None
    assert (known.value, known.low, known.high) == (0.118, 0.052, 0.183)


def test_a_page_keeps_its_prose() -> None:
    page = "before\n<!--a-->\nold\n<!--/a-->\nbetween\n<!--b-->\nmine\n<!--/b-->\n"
    filled = fill(page, {"a": "new\n", "c": "unused\n"})
    assert filled == "before\n<!--a-->\nnew\n<!--/a-->\nbetween\n<!--b-->\nmine\n<!--/b-->\n"
    assert fill(filled, {"a": "new\n"}) == filled


def test_a_block_that_is_never_closed_is_said() -> None:
    with pytest.raises(InputError, match="<!--a--> must stand at the end of a line and be closed"):
        fill("<!--a-->\nrest of the page\n", {"a": "new\n"})
