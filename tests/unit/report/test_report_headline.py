"""The sentences on top: they say rose, fell, stopped only where it did, and what noise would have shown."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crestfall.analysis.trajectory import CampaignFacts, Final, Run, Trajectory
from crestfall.core.types import Evaluation
from crestfall.report.groups import group_runs
from crestfall.report.headline import end_of_chain, headline, rise_split
from crestfall.report.nulls import GapNoise
from crestfall.report.tables import end_rows

N, P = 16, 30


def evaluation(share, competence=None):
    def counts(s):
        return tuple(round(N * s) for _ in range(P))

    return Evaluation(counts(share), N, None if competence is None else counts(competence))


def campaign(shares, competence=None, **facts):
    evaluations = tuple(evaluation(s, c) for s, c in zip(shares, competence or [None] * len(shares), strict=True))
    return Trajectory(
        "naive/seed-1/c0",
        Path("seed-1"),
        "pass_at_1",
        "",
        np.arange(len(shares)),
        np.array([e.pass_at_1 for e in evaluations]),
        evaluations,
        evaluations,
        facts=CampaignFacts(0, facts.pop("budget", len(shares) - 1), **facts),
    )


def run(curve, method="naive", seed=1, finals=()):
    return Run(Path("x"), method, seed, "done", (curve,), tuple(finals))


def said(*runs, noise=None):
    return ["".join(s.parts) for s in headline(group_runs(runs), noise or {})]


def test_rise_and_fall_with_numbers():
    (sentence,) = said(run(campaign([0.25, 0.5, 0.625, 0.125])))
    assert "rose from 25% to 62% at step 2 and then fell to 12% by step 3" in sentence
    assert "50.0 ±" in sentence


def test_a_flat_curve_neither_rises_nor_falls():
    (sentence,) = said(run(campaign([0.25, 0.25, 0.25])))
    assert "did not rise" in sentence
    assert "fell" not in sentence


@pytest.mark.parametrize(("null", "words"), [(0.1, "beyond noise"), (0.9, "within noise")])
def test_the_gap_stands_beside_its_null(null, words):
    (sentence,) = said(run(campaign([0.25, 0.625, 0.125])), noise={"naive/seed-1/c0": GapNoise(null, 0.0)})
    assert words in sentence
    assert f"{100 * null:.1f} or less" in sentence


def test_a_stop_names_the_budget_and_what_was_handed_on():
    curve = campaign([0.25, 0.5, 0.4375], budget=20, stopped_by="patience", handed_on_step=1)
    (sentence,) = said(run(curve))
    assert "stopped (budget: 20 steps)" in sentence
    assert "final weights: step 1, 50%" in sentence


def test_one_evaluation_is_no_story():
    (sentence,) = said(run(campaign([0.25])))
    assert sentence == "has been evaluated once: 25%."


def test_seeds_are_counted():
    runs = [run(campaign([0.25, 0.5, end]), seed=k) for k, end in enumerate((0.0, 0.125, 0.5))]
    (sentence,) = said(*runs)
    assert "(3 seeds)" in sentence
    assert "2 of 3" in sentence


def test_naive_and_controlled_are_compared_on_final():
    def finals(score):
        return [Final(-1, "start", 0, evaluation(0.25)), Final(0, "handed_on", 2, evaluation(score))]

    curve = campaign([0.25, 0.5, 0.25])
    groups = group_runs([run(curve, finals=finals(0.0)), run(curve, "es", finals=finals(0.5))])
    told = "".join(end_of_chain(groups))
    assert "naive at 0% and es at 50%, from a base policy at 25%" in told
    assert end_of_chain(group_runs([run(curve)])) == []


def test_the_rise_is_split():
    (told,) = rise_split(group_runs([run(campaign([0.25, 0.5], [0.5, 0.625]))]))
    assert "of 25.0 points of rise, 12.5 are competence" in told
    assert rise_split(group_runs([run(campaign([0.25, 0.5]))])) == []


def test_methods_come_in_the_order_of_the_study():
    curve = campaign([0.25, 0.5])
    runs = [run(curve, m) for m in ("es", "care", "naive")]
    assert [g.label for g in group_runs(runs, ["naive", "es"])] == ["naive", "es", "care"]
    assert group_runs([replace(runs[0], campaigns=())]) == []


def test_a_chain_on_its_way_is_not_averaged_with_one_at_its_end():
    """It was: the page said "after 3 campaigns" of a mean with a chain that had ended its first."""

    def chain(seed, status, *scores):
        finals = [Final(k, "handed_on", 6, evaluation(score)) for k, score in enumerate(scores)]
        return replace(run(campaign([0.2, 0.5]), seed=seed, finals=finals), status=status)

    def outcome(*chains):
        groups = group_runs(chains)
        rows = end_rows(groups)
        return "".join(end_of_chain(groups)), [(row.seeds, row.mean, row.each) for row in rows]

    done, started = chain(1, "done", 0.75, 0.5, 0.25), chain(2, "running", 0.75)
    said, rows = outcome(done, started, chain(3, "running"))
    assert said.startswith("After 3 campaigns, ")
    assert "naive at 25%" in said
    assert rows == [(1, "25.0%", "25.0%")]
    # Before the first has ended: those that have come furthest.
    said, rows = outcome(started, chain(4, "interrupted", 0.75, 0.75), chain(5, "failed", 0.75, 0.25))
    assert said.startswith("After 2 campaigns, ")
    assert rows == [(2, "50.0%", "75.0%, 25.0%")]
