"""Upper bounds on a controller: the trace oracle (the best stop of each campaign), the online rule applied afterwards
to the same completed traces (what the paper says its trace oracle is), and the hindsight oracle (of the chain).

The oracles pick a maximum, so on one and the same evaluation they are biased upwards; with a report set the step is
picked on select and scored on report. Both readings are returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crestfall.analysis.replay import records_of, replay
from crestfall.analysis.trajectory import Trajectory
from crestfall.control.base import Controller


@dataclass(frozen=True)
class Oracle:
    """`picked`: the maximum itself, on the curve it was picked on. `scored`: the same step on problems not used to
    pick; None where the run has none."""

    picked: float
    scored: float | None


def trace_oracle(campaigns: Sequence[Trajectory]) -> Oracle:
    """Mean over campaigns of the campaign's peak: the best that any stop of each could have kept."""
    return _mean_at(campaigns, [int(np.argmax(t.values_S)) for t in campaigns])


def stopped_oracle(campaigns: Sequence[Trajectory], rule: Controller) -> Oracle:
    """Mean over campaigns of what an early-stop rule would have kept of traces that it did not stop. Each campaign
    starts where the trace's did, so this is no chain that could have been run."""
    kept = [replay(rule, records_of(t)).kept_step for t in campaigns]
    return _mean_at(campaigns, [int(np.searchsorted(t.steps_S, step)) for t, step in zip(campaigns, kept, strict=True)])


def _mean_at(campaigns: Sequence[Trajectory], peaks: Sequence[int]) -> Oracle:
    picked = float(np.mean([t.values_S[i] for t, i in zip(campaigns, peaks, strict=True)]))
    scores = [float(t.scored_S[i]) for t, i in zip(campaigns, peaks, strict=True) if t.scored_S is not None]
    return Oracle(picked, float(np.mean(scores)) if len(scores) == len(campaigns) else None)


def hindsight_oracle(campaigns: Sequence[Trajectory]) -> Oracle:
    """The best step of the whole chain."""
    best = max(campaigns, key=lambda t: float(np.max(t.values_S)))
    step = int(np.argmax(best.values_S))
    scored = best.scored_S
    return Oracle(float(best.values_S[step]), None if scored is None else float(scored[step]))
