"""The tables and curves of a study of the language model: form times skill is pass@1; unfinished cells stay out."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

from crestfall.core.entry import guarded

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

from synthetic_runs import write_run, write_study

from research import llm


def test_form_times_skill_is_the_share_that_passed() -> None:
    form = llm.Form.of({"passed": 3, "wrong_answer": 3, "no_code": 2, "syntax_error": 2})
    assert (form.form, form.skill) == (0.6, 0.5)
    assert llm.Form.of({"no_code": 4}) == llm.Form(0.0, 0.0)


def test_a_row_an_arm_and_a_line_an_evaluation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = write_study(tmp_path / "s", seeds=(1, 2), campaigns=1)
    write_run(study / "cells" / "es" / "seed-2", method="es", seed=2, campaigns=1, status="running")
    assert llm.main([str(study), "--curves", str(tmp_path / "c.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| arm | n | start | peak | end | gap | final start |")
    assert sorted(line.split("|")[1:3] for line in lines[2:]) == [[" es ", " 1 "], [" naive ", " 2 "]]
    with (tmp_path / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["method"], row["seed"]) for row in rows} == {("naive", "1"), ("naive", "2"), ("es", "1")}
    assert all(row["samples"] for row in rows)


def test_no_finished_cell_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = write_study(tmp_path / "s", methods=("naive",), seeds=(1,), campaigns=1, status="running")
    assert guarded(lambda: llm.main([str(study)])) == 2
    assert "no finished cell" in capsys.readouterr().err
