"""A frozen regime judged on a batch of seeds."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from crestfall.core.entry import guarded

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from synthetic_runs import write_run, write_study

from crestfall.analysis.measures import measure_campaign
from crestfall.analysis.trajectory import read_study
from crestfall.core.errors import InputError
from crestfall.report.groups import Group
from crestfall.report.tables import comparison_rows
from research.batch import BASE, ends_of_chain, judge, main, report


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("batch")
    write_study(path, seeds=(1, 2))
    return read_study(path)


def test_first_campaign_is_judged_with_the_peak_scored_on_report(study):
    run = study.by_method()["naive"][0]
    got, measures = judge(run), measure_campaign(run.campaigns[0])
    assert (got.start, got.peak, got.gap) == (measures.start, measures.peak, measures.gap)
    assert got.rises == (got.peak - got.start >= 0.15)
    assert got.falls == (got.gap > 0.2)
    assert got.rises_and_falls


def test_the_untouched_base_is_an_arm(study):
    ends = ends_of_chain(study)
    assert set(ends) == {"naive", "es", BASE}
    assert all(set(scores) == {1, 2} for scores in ends.values())


def test_a_chain_that_goes_on_from_another_run_is_no_arm_and_has_no_base(study):
    """What it starts from is a collapsed policy, say: not the base policy, and not as much training."""
    onwards = replace(study.by_method()["es"][0], method="onwards", config={"chain": {"start_from": "cells/es@last"}})
    assert onwards.final(-1, "start") is not None
    assert onwards.base is None
    more = replace(study, runs=(*study.runs, onwards))
    assert ends_of_chain(more) == ends_of_chain(study)
    assert report(more) == report(study)
    groups = [Group(method, tuple(runs), "a") for method, runs in more.by_method().items()]
    assert "onwards" not in {row.label for row in comparison_rows(groups)}


def test_the_report_says_proportion_nulls_split_and_pairs(study):
    lines, campaigns = report(study)
    text = "\n".join(lines)
    assert len(campaigns) == 2
    assert "On **2 of 2** seeds naive training rises" in text
    assert "(exact 95% interval of the share: 0.16 to 1.00)" in text
    assert "Evaluation noise alone would give" in text
    assert "come from more right values (competence) and" in text
    assert f"Mean competence at the end of the chain, on the final set: {BASE} " in text
    assert "| es - naive |" in text
    assert f"| es - {BASE} |" in text
    assert "no claim of significance is possible" in text


def test_without_a_naive_chain_there_is_nothing_to_judge(tmp_path):
    write_study(tmp_path, seeds=(1,), methods=("es",))
    with pytest.raises(InputError, match="no finished chain of the method naive"):
        report(read_study(tmp_path))


def test_a_study_that_measured_no_competence_costs_one_line(tmp_path, capsys):
    write_run(tmp_path / "cells/naive/seed-1", seed=1, competence=False)
    (tmp_path / "study.json").write_text("{}")
    assert guarded(lambda: main([str(tmp_path)])) == 2
    assert "a batch needs competence" in capsys.readouterr().err


def test_a_damaged_cell_is_named_and_hides_no_other(tmp_path, capsys):
    write_study(tmp_path, seeds=(1, 2, 3))
    (tmp_path / "cells/es/seed-3/run.json").write_text("{")
    assert guarded(lambda: main([str(tmp_path)])) == 0
    captured = capsys.readouterr()
    assert "On **3 of 3** seeds" in captured.out
    assert captured.err.startswith(f"crestfall: left out: {tmp_path}/cells/es/seed-3/run.json: ")
    assert captured.err.count("\n") == 1
