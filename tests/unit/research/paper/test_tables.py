"""The tables say what the measures are, what the paper printed, and what nobody knows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from research.paper.__main__ import TABLES
from research.paper.arm_tables import arms, beats, best_free, free
from research.paper.arms import BASE, Results
from research.paper.campaign_tables import table01, table11, table16
from research.paper.cells import cells
from research.paper.chain_tables import _intervention_rate, table04, table06, table07, table08, table12
from research.paper.oracle_tables import table09, table09_oracles
from research.paper.published import Published
from research.paper.table import Table


def row(table: Table, arm: str) -> dict[str, Any]:
    names = [column.name for column in table.columns]
    return next(dict(zip(names, cells, strict=True)) for cells in table.rows if cells[0] == arm)


@pytest.mark.parametrize("make", TABLES, ids=lambda make: make.__name__)
def test_every_table_says_how_much_of_the_study_it_is_of(make: Any, results: Results) -> None:
    table = make(results)
    assert table.rows
    assert table.notes[-1] == results.standing
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)


def test_arms_that_have_not_run_keep_their_row_and_the_papers_figures(results: Results) -> None:
    missing = row(table01(results), "kl_adaptive")
    assert missing["seeds"] == 0
    assert missing["C1 end"] is None
    assert isinstance(missing["paper, C2 end"], Published)
    assert missing["paper, C2 end"].value == 0.06
    begun = row(table01(results), "ewc")
    assert begun["seeds"] == 2
    assert begun["C1 end"] is not None
    assert begun["C3 end"] is None  # its chains have two campaigns


def test_headline_is_paired_with_naive(results: Results) -> None:
    care, naive = row(table06(results), "care_v2"), row(table06(results), "naive")
    ours, theirs = results["care_v2"], results["naive"]
    assert care["paired difference"] == pytest.approx(ours.mean_end - theirs.mean_end)
    assert "8 seeds" in care["conclusion"]
    assert naive["paired difference"] is None
    assert care["paper, 3B"].value == 0.095


def test_below_six_seeds_no_significance_is_claimed(results: Results) -> None:
    ewc = row(arms(results), "ewc")
    assert ewc["conclusion"] == "2 seeds: no claim of significance is possible below 6"
    assert ewc["sign-flip, p"] is None
    assert ewc["difference 95% interval"] is None
    assert row(free(results), "ewc")["beats the best baseline"] == "no claim possible"


def test_the_best_free_arm_is_compared_with_every_other(results: Results) -> None:
    best = best_free(results)
    assert best.method == max((BASE, "fixed"), key=lambda m: results[m].mean_end)
    table = free(results)
    assert row(table, "es")["beats the best baseline"] == "yes"
    assert row(table, "naive")["beats the best baseline"] == "no: below it"
    assert {cells[0] for cells in table.rows} >= {f"{BASE} (baseline)", "fixed (baseline)", "naive", "es", "grpo+es"}
    assert "Baselines without a finished chain: quarter_lr" in " ".join(table.notes)
    said = " ".join(table.notes)
    assert f"Shown to beat {best.method}: es." in said
    assert "Not shown to beat it: naive (below it)" in said
    assert "ewc (no claim possible)" in said
    assert beats(None) == "too few shared seeds"


def test_efficiency_counts_steps_taken_and_takes_the_base_off(results: Results) -> None:
    es, chains = row(table07(results), "es"), results["es"].chains
    assert es["steps per chain"] == np.mean([sum(m.end_step for m in c.measures.campaigns) for c in chains])
    assert es["gain over base per 100 steps"] == pytest.approx(
        np.mean([1e4 * (c.end - c.base) / c.measures.steps for c in chains])
    )


def test_collapse_counts(results: Results) -> None:
    naive = row(table08(results), "naive")
    assert naive["collapsed"] == sum(m.collapsed for m in results["naive"].campaigns)
    assert naive["with a collapse"] == sum(c.measures.collapses > 0 for c in results["naive"].chains)
    assert naive["rate"] == naive["collapsed"] / naive["campaigns"]
    assert naive["rate if they stayed"] < 0.05


def test_selection_bias_is_picked_less_scored(results: Results) -> None:
    naive = row(table11(results), "naive")
    campaigns = results["naive"].campaigns
    assert naive["peak"] == pytest.approx(np.mean([m.peak for m in campaigns]))
    assert naive["selection bias"] == pytest.approx(np.mean([m.peak_as_selected - m.peak for m in campaigns]))
    assert naive["gap"] == pytest.approx(np.mean([m.gap for m in campaigns]))
    assert naive["paper, collapse rate"].value == 0.36


def test_cliffs_are_of_clear_falls(results: Results) -> None:
    naive = row(table16(results), "naive")
    clear = [m for m in results["naive"].campaigns if m.fall_is_clear and m.onset is not None]
    assert naive["clear falls"] == f"{len(clear)} of {len(results['naive'].campaigns)}"
    assert naive["onset"] == pytest.approx(np.mean([m.onset for m in clear]))
    assert 0 < naive["one-step share"] <= 1
    assert naive["paper, one-step share"].low == 0.71


def test_oracles_bound_each_other(results: Results) -> None:
    naive = row(table09_oracles(results), "naive")
    assert naive["hindsight oracle, picked"] >= naive["trace oracle, picked"] > naive["mean end"]
    assert naive["early stop applied afterwards"] > naive["mean end"]
    flat = naive["trace oracle, picked, if flat"]
    assert flat[1] < naive["trace oracle, picked"]
    assert [cells[0] for cells in table09(results).rows] == ["naive", "es"]


def test_inferred_figures_are_marked(results: Results) -> None:
    combined = row(table12(results), "grpo+es")
    assert combined["paper, by seed"] == "0.0, 22.9*, 28.1*"
    assert combined["seeds above their base"].endswith("of 8")


def test_interventions_are_of_the_campaigns_after_the_first(results: Results) -> None:
    assert row(table04(results), "naive")["campaigns shortened or slowed"] == 0
    run = results["naive"].chains[0].run
    plans = ({"campaign": 0, "budget": 6}, {"campaign": 1, "budget": 12, "learning_rate_scale": 0.5})
    assert _intervention_rate(replace(run, care=plans)) == 1.0
    assert _intervention_rate(replace(run, care=plans[:1])) == 0.0
    assert _intervention_rate(replace(run, campaigns=run.campaigns[:1])) is None
    assert row(table04(results), "gate_only")["seeds"] == 0


def test_every_campaign_of_every_finished_chain_is_a_row(results: Results) -> None:
    table = cells(results)
    assert len(table.rows) == 42 * 2
    first = dict(zip([c.name for c in table.columns], table.rows[0], strict=True))
    chain = results["naive"].chains[0]
    assert (first["method"], first["seed"], first["campaign"]) == ("naive", 1, 0)
    assert first["gap"] == chain.measures.campaigns[0].gap
    assert first["end_of_chain"] == chain.end
    assert first["final_base"] == chain.base
    report = chain.run.campaigns[0].report
    assert report is not None
    assert first["competence_at_end"] == report[-1].competence
    for name in ("end", "handed_on"):
        final = chain.run.final(0, name)
        assert final is not None
        assert first[f"final_{name}_competence"] == final.evaluation.competence
    assert chain.run.base is not None
    assert first["final_base_competence"] == chain.run.base.evaluation.competence is not None
