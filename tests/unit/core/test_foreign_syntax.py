"""What Python has to say about other people's programs stays out of stderr, where a live view is."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from crestfall.core.syntax import parse_foreign

ODD = "x = 1if 2 else 3"


@pytest.mark.parametrize(
    "ask",
    [
        "from crestfall.core.syntax import parse_foreign as f",
        "from crestfall.grading.distinct import canonical as f",
        "from crestfall.testbed.tasks.builtin.source import returning as f",
    ],
)
def test_nothing_is_printed_about_it(ask: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"{ask}; f({ODD!r})"], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_it_is_the_tree_that_python_makes() -> None:
    assert ast.dump(parse_foreign("x = 1")) == ast.dump(ast.parse("x = 1"))
    with pytest.raises(SyntaxError):
        parse_foreign("x = (")
