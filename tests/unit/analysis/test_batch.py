"""A frozen regime judged on a batch of seeds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from synthetic_runs import write_study

from crestfall.analysis.batch import BASE, ends_of_chain, judge, report
from crestfall.analysis.measures import measure_campaign
from crestfall.analysis.trajectory import read_study
from crestfall.errors import InputError


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


def test_the_report_says_proportion_nulls_split_and_pairs(study):
    lines, campaigns = report(study)
    text = "\n".join(lines)
    assert len(campaigns) == 2
    assert "**2 of 2** (exact 95% interval 0.16 to 1.00)" in text
    assert "a flat policy would show" in text
    assert "are competence and" in text
    assert f"Competence at the end of the chain, on the final set, mean: {BASE} " in text
    assert "| es - naive |" in text
    assert f"| es - {BASE} |" in text
    assert "no claim of significance is possible" in text


def test_without_a_naive_chain_there_is_nothing_to_judge(tmp_path):
    write_study(tmp_path, seeds=(1,), methods=("es",))
    with pytest.raises(InputError, match="no finished chain of the method naive"):
        report(read_study(tmp_path))
