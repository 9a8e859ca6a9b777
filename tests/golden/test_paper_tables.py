"""One table in its three formats, byte for byte: a change of the format, or of the statistics behind it, shows here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "report"))
from synthetic_runs import write_study

from crestfall.paper.arms import read_results
from crestfall.paper.chain_tables import table06
from crestfall.paper.table import comma_separated, latex, markdown

GOLDEN = Path(__file__).parent / "paper"


@pytest.mark.parametrize(("suffix", "form"), [("md", markdown), ("tex", latex), ("csv", comma_separated)])
def test_headline_table(suffix, form, tmp_path):
    study = write_study(tmp_path / "s", methods=("naive", "care_v2"), seeds=range(6), campaigns=2, budget=6)
    assert form(table06(read_results(study))) == (GOLDEN / f"table06.{suffix}").read_text(encoding="utf-8")
