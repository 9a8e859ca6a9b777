"""One command, the same files each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from crestfall.core.entry import guarded
from research.paper.__main__ import TABLES, main
from research.paper.arms import Results

pytest.importorskip("matplotlib", reason="NO MATPLOTLIB: extra `report` is not installed, no figure was drawn")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_tables_figures_and_page_are_made_and_made_the_same(
    study: Path, results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.md").write_text("We see:\n<!--table06-->\n<!--/table06-->\n")
    assert main([str(study), "--out", str(tmp_path / "study")]) == 0
    assert "42 chains in" in capsys.readouterr().out
    made = contents(tmp_path / "study")
    tables = [make(results).name for make in TABLES]
    assert {f"table{number:02d}" for number in (1, 2, 4, 6, 7, 8, 9, 10, 11, 12, 16)} < set(tables)
    figures = ("figure1", "figure3", "oracles", "intervals")
    expected = {f"{t}.{x}" for t in tables for x in ("md", "tex", "csv")} | {
        f"{f}.{x}" for f in figures for x in ("svg", "pdf")
    }
    assert set(made) == expected | {"cells.csv"}
    page = (tmp_path / "study.md").read_text()
    assert page.startswith("We see:\n")
    assert made["table06.md"].decode() in page
    assert main([str(study), "--out", str(tmp_path / "tables"), "--no-figures"]) == 0
    assert contents(tmp_path / "tables") == {
        name: text for name, text in made.items() if not name.endswith((".svg", ".pdf"))
    }


def test_what_is_no_study_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: main([str(tmp_path), "--out", str(tmp_path / "o")])) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "o").exists()
