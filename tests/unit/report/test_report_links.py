"""Reports of a study's chains, the index of a folder, the command to paste, and which interval is shown."""

from __future__ import annotations

import json
import re
import shlex
from html import unescape
from pathlib import Path

import pytest
from synthetic_runs import write_run, write_study

from crestfall import report
from crestfall.cli.main import main
from crestfall.report.groups import STYLES


def test_every_chain_of_a_study_has_a_report_that_the_studys_links(tmp_path: Path) -> None:
    page = report.write(write_study(tmp_path / "s", methods=("naive", "es"), seeds=(1, 2), campaigns=2))
    links = set(re.findall(r'href="(cells/[^"]+)"', page.read_text()))
    assert len(links) == 4
    assert all((page.parent / link).is_file() for link in links)


def test_a_report_of_a_chain_that_is_current_is_left_alone(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", seeds=(1,), campaigns=1)
    report.write(study)
    own = study / "cells/naive/seed-1/report.html"
    own.write_text("as it was")
    report.write(study)
    assert own.read_text() == "as it was"


def test_an_index_of_a_folder_links_what_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report.write(write_run(tmp_path / "deep" / "one", campaigns=1))
    write_study(tmp_path / "two", seeds=(1,), campaigns=1)
    write_run(tmp_path / "broken", campaigns=1)
    (tmp_path / "broken" / "run.json").write_text("[")
    assert main(["report", str(tmp_path)]) == 0
    assert "index.html" in capsys.readouterr().out
    html = (tmp_path / "index.html").read_text()
    assert 'href="deep/one/report.html"' in html
    assert "two/report.html" not in html  # it has none yet
    assert html.count("<td>study</td>") == 2
    assert "damaged: " in html


def test_the_command_of_a_study_can_be_pasted(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", seeds=(1,), campaigns=1)
    assert "Goes on with" not in report.write(study).read_text()  # none was recorded
    words = ["study", "quick start.yaml", "methods.es.control={name: early_stop}", "--out", str(study)]
    meta = json.loads((study / "study.json").read_text()) | {"command": words}
    (study / "study.json").write_text(json.dumps(meta))
    found = re.search(r"Goes on with.*?<code>(.*?)</code>", report.write(study).read_text())
    assert found
    assert shlex.split(unescape(found[1])) == ["crestfall", *words]


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        (1, "one standard error"),
        (2, "too few seeds"),
        (4, "Student&#39;s t over 4"),
        (6, "studentised bootstrap over 6"),
    ],
)
def test_an_interval_says_what_it_is(tmp_path: Path, seeds: int, said: str) -> None:
    html = report.write(write_study(tmp_path / "s", seeds=range(seeds), campaigns=1)).read_text()
    assert said in html
    assert ("95% interval" in html) == (seeds > 1)


def test_as_many_methods_as_there_are_styles_differ_in_colour_and_dash(tmp_path: Path) -> None:
    html = report.write(write_study(tmp_path / "s", seeds=(1,), campaigns=1)).read_text()
    rules = re.findall(r"\.m(\d+) \{ --c: var\(--m\d+\); --d: ([^;]+);", html)
    assert len(rules) == len({dash for _, dash in rules}) == STYLES
    for theme in html.split("@media", 1):
        assert len(set(re.findall(r"--m\d+: (#\w+);", theme))) == STYLES


def test_methods_are_overlaid_where_there_are_several(tmp_path: Path) -> None:
    assert "All methods in one chart" in report.write(write_study(tmp_path / "s", campaigns=1)).read_text()
    assert "All methods in one chart" not in report.write(write_run(tmp_path / "r", campaigns=1)).read_text()
