from __future__ import annotations

import pytest

from crestfall.grading.distinct import canonical, count_distinct

PLAIN = "def f(x):\n    y = x + 1\n    return y"


@pytest.mark.parametrize(
    "same",
    [
        "def f(x):  # adds\n\n    y = (x + 1)\n    return y\n",
        "def f(items):\n    total = items + 1\n    return total",
        'def g(x):\n    """Add one."""\n    y = x + 1\n    return y',
    ],
    ids=["layout", "names", "docstring"],
)
def test_layout_and_chosen_names_make_no_difference(same: str) -> None:
    assert count_distinct([PLAIN, same]) == 1


@pytest.mark.parametrize(
    "other",
    [
        "def f(x):\n    return x + 1",
        "def f(x):\n    y = x + 2\n    return y",
        "def f(x):\n    y = x + 1\n    return x",
        "def f(x):\n    y = x + True\n    return y",
        "def f(x):\n    y = sum(x)\n    return y",
    ],
)
def test_another_tree_is_another_program(other: str) -> None:
    assert count_distinct([PLAIN, other]) == 2


def test_names_that_are_not_given_stay() -> None:
    assert canonical("def f(x):\n    return sum(x)") != canonical("def f(x):\n    return max(x)")


@pytest.mark.parametrize(
    "program", ["def f((", "x = " + "(" * 5000 + ")" * 5000, "-" * 20_000 + "1", "a\0b", "x" * 60_000]
)
def test_what_does_not_parse_is_compared_as_text(program: str) -> None:
    assert count_distinct([program, program]) == 1
    assert count_distinct([program, program + " "]) == 2


def test_none_is_none() -> None:
    assert count_distinct([]) == 0
