"""One table in its three formats, byte for byte: a change of the format, or of the statistics behind it, shows here."""

from __future__ import annotations

from pathlib import Path

import pytest

from research.paper.arms import BASE, Arm, Results
from research.paper.chain_tables import table06
from research.paper.table import comma_separated, latex, markdown

GOLDEN = Path(__file__).parent / "paper"
NAIVE = dict(enumerate((0.0, 0.0125, 0.05, 0.004, 0.021, 0.11, 0.0, 0.03)))
CARE = dict(enumerate((0.21, 0.0, 0.33, 0.125, 0.27, 0.18, 0.09, 0.3)))


@pytest.mark.parametrize(("suffix", "form"), [("md", markdown), ("tex", latex), ("csv", comma_separated)])
def test_headline_table(suffix, form):
    ends = {"naive": NAIVE, "care_v2": CARE, BASE: dict.fromkeys(range(8), 0.2)}
    arms = {method: Arm(method, scores) for method, scores in ends.items()}
    table = table06(Results(Path("study"), arms, cells=20, missing=("es/seed-0",), runs=()))
    assert form(table) == (GOLDEN / f"table06.{suffix}").read_text(encoding="utf-8")
