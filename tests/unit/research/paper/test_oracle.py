"""Oracles: the rule applied afterwards, and what they read where nothing moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crestfall.analysis.trajectory import FloatArray, Trajectory
from crestfall.control.early_stop import EarlyStop
from crestfall.core.errors import InputError
from crestfall.core.types import Evaluation
from research.paper.oracle import hindsight_oracle, stopped_oracle, trace_oracle
from research.paper.oracle_null import oracles_against_null

N, PROBLEMS = 16, 30


def counted(level_S: FloatArray, rng: np.random.Generator) -> Trajectory:
    select, report = (
        tuple(
            Evaluation(tuple(map(int, row)), N) for row in rng.binomial(N, level_S[:, None], (len(level_S), PROBLEMS))
        )
        for _ in range(2)
    )
    values_S = np.array([e.pass_at_1 for e in select])
    return Trajectory("c", Path("c"), "pass_at_1", "", np.arange(len(level_S)), values_S, select, report)


def plain(values: list[float], first_step: int = 0) -> Trajectory:
    steps_S = np.arange(first_step, first_step + len(values))
    return Trajectory("t", Path("t"), "m", "", steps_S, np.array(values))


def test_a_rule_applied_afterwards_misses_a_peak_behind_its_patience() -> None:
    trace = plain([0.1, 0.4, 0.2, 0.2, 0.2, 0.9, 0.0], first_step=5)
    assert stopped_oracle([trace], EarlyStop(margin=3)).picked == 0.4
    assert stopped_oracle([trace], EarlyStop(margin=4)).picked == 0.9
    assert trace_oracle([trace]).picked == hindsight_oracle([trace]).picked == 0.9


def test_a_flat_chain_is_within_its_null_and_a_rise_is_not() -> None:
    rng = np.random.default_rng(0)
    flat = oracles_against_null([[counted(np.full(20, 0.4), rng) for _ in range(3)] for _ in range(4)], rng)
    assert flat.trace_picked.observed > 0.42  # picking alone does that
    assert 0.05 < flat.trace_picked.p_value < 0.95
    assert flat.trace_scored.null_mean == pytest.approx(0.4, abs=0.02)
    assert flat.hindsight_picked.null_mean > flat.trace_picked.null_mean
    risen = oracles_against_null([[counted(np.linspace(0.2, 0.7, 20), rng)] for _ in range(3)], rng)
    assert risen.trace_scored.p_value < 0.01
    assert risen.hindsight_scored.p_value < 0.01


def test_without_a_chain_there_is_no_null() -> None:
    with pytest.raises(InputError, match="no chain"):
        oracles_against_null([], np.random.default_rng(0))
