"""Outcomes of the regime map, and the design that it is read off."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from crestfall.testbed.config import load_study
from research.figures.regimes import effects, markdown, outcome

MEASURES = SimpleNamespace(start=0.2, peak=0.5, end=0.4, gap=0.1)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({}, "rise_and_hold"),
        ({"end": 0.2, "gap": 0.3}, "rise_and_collapse"),
        ({"peak": 0.22, "end": 0.05, "gap": 0.17}, "dies"),
        ({"peak": 0.22, "end": 0.2, "gap": 0.02}, "no_rise"),
    ],
)
def test_outcomes(scores, expected):
    assert outcome(SimpleNamespace(**{**vars(MEASURES), **scores})) == expected


def test_the_design_is_an_orthogonal_array():
    study = load_study("research/studies/regime_map.yaml")
    cells = [study.cell(name, 300) for name in study.methods if name.startswith("d")]
    factors = [
        lambda c: c.update.learning_rate,
        lambda c: c.update.baseline,
        lambda c: c.update.normalization,
        lambda c: c.campaign.problems_per_step,
        lambda c: c.update.minibatches,
        lambda c: c.update.logprob_temperature,
    ]
    assert len(cells) == 32
    for one, other in itertools.combinations(factors, 2):
        pairs = Counter((one(cell), other(cell)) for cell in cells)
        assert len(set(pairs.values())) == 1, "some pair of levels occurs more often than another"
        assert len(pairs) == len({one(c) for c in cells}) * len({other(c) for c in cells})


def test_frozen_regimes_agree():
    """The batch judges what the quickstart shows; its chains may be longer."""
    quickstart, batch = load_study("quickstart"), load_study("research/studies/batch.yaml")
    for method in ("naive", "es"):
        shown = quickstart.cell(method, 0)
        assert replace(batch.cell(method, 0), chain=shown.chain) == shown


def test_a_cell_is_one_line():
    row = {"cell": "a", "learning_rate": 1e-4, "warmup_updates": 0, "baseline": "none", "normalization": "constant"}
    row |= {"minibatches": 1, "logprob_temperature": "one", "optimizer_state": "fresh", "problems_per_step": 10}
    row |= {"campaigns": 1, "seed": 1, "outcome": "no_rise", "start": 0.2, "peak": 0.2, "end": 0.2}
    row |= {"peak_competence": 0.5}
    lines = list(markdown([row, row | {"seed": 2}, row | {"cell": "b", "learning_rate": 1e-3}]))
    assert len(lines) == 4
    assert lines[0] == "| cell | learning_rate | start / peak / end by seed (competence at peak) |"
    assert lines[2].count("no rise") == 2


def test_effects_pool_a_level_over_the_design_alone():
    row = dict.fromkeys(("warmup_updates", "normalization", "minibatches", "logprob_temperature"), 0)
    row |= {"baseline": "none", "optimizer_state": "fresh", "problems_per_step": 10, "start": 0.2, "peak": 0.7}
    falls = row | {"cell": "d01", "learning_rate": 1e-3, "outcome": "rise_and_collapse", "end": 0.1}
    holds = row | {"cell": "d02", "learning_rate": 1e-4, "outcome": "rise_and_hold", "end": 0.6}
    lines = list(effects([falls, falls, holds, falls | {"cell": "w1", "learning_rate": 9}]))
    assert lines[2:] == [
        "| learning_rate | 0.001 | 2 | 0 | 0 | 2 | 0 | 50.0 | 60.0 |",
        "| learning_rate | 0.0001 | 1 | 0 | 1 | 0 | 0 | 50.0 | 10.0 |",
    ]
