"""The pictures of the documentation are drawn from a run directory, and fetch nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "report"))
from synthetic_runs import write_run

from crestfall.core.errors import InputError
from research.figures.screens import live, main


def test_the_live_view_is_that_of_the_run(tmp_path: Path) -> None:
    svg = live(write_run(tmp_path / "run", method="naive"), events=12)
    assert "naive,&#160;seed&#160;0" in svg
    assert "kept&#160;step" in svg
    assert "@font-face" not in svg
    assert live(tmp_path / "run", events=12) == svg


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a run directory"):
        main(["live", str(tmp_path), "--out", str(tmp_path / "x.svg")])
    assert list(tmp_path.iterdir()) == []
