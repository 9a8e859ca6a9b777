"""Measures of a chain: its campaigns, what is handed on at its end, and the oracles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crestfall.analysis.measures import CampaignMeasures, measure_campaign
from crestfall.analysis.trajectory import Run
from crestfall.core.errors import InputError
from research.paper.oracle import Oracle, hindsight_oracle, trace_oracle


@dataclass(frozen=True)
class ChainMeasures:
    """A chain. `end_of_chain`: the handed-on weights of the last campaign on the final set (None: not evaluated yet);
    `base`: the weights before the first campaign on the same set. `mean_start`: over all campaigns but the first, the
    score on the new campaign's problems before any update, i.e. what was carried over. `points_per_100_steps`:
    end_of_chain in points x 100 / steps. Means are over campaigns; `steps` counts gradient steps."""

    campaigns: tuple[CampaignMeasures, ...]
    base: float | None
    end_of_chain: float | None
    mean_start: float | None
    mean_peak: float
    mean_end: float
    mean_gap: float
    collapses: int
    collapse_rate: float
    steps: int
    points_per_100_steps: float | None
    trace: Oracle
    hindsight: Oracle


def measure_chain(run: Run) -> ChainMeasures:
    """Raises InputError for a run without a single evaluated step."""
    if not run.campaigns:
        raise InputError(f"{run.path}: no step has been evaluated yet")
    measures = tuple(measure_campaign(t) for t in run.campaigns)
    last = max(t.facts.campaign for t in run.campaigns if t.facts)
    base, end = run.final(-1, "start"), run.final(last, "handed_on")
    end_of_chain = end.evaluation.pass_at_1 if end else None
    steps = sum(m.end_step for m in measures)
    collapses = sum(m.collapsed for m in measures)
    starts = [m.start for m in measures[1:]]
    return ChainMeasures(
        campaigns=measures,
        base=base.evaluation.pass_at_1 if base else None,
        end_of_chain=end_of_chain,
        mean_start=_mean(starts) if starts else None,
        mean_peak=_mean([m.peak for m in measures]),
        mean_end=_mean([m.end for m in measures]),
        mean_gap=_mean([m.gap for m in measures]),
        collapses=collapses,
        collapse_rate=collapses / len(measures),
        steps=steps,
        points_per_100_steps=100 * end_of_chain * 100 / steps if end_of_chain is not None and steps else None,
        trace=trace_oracle(run.campaigns),
        hindsight=hindsight_oracle(run.campaigns),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
