"""Values of the oracles where nothing changes: a maximum over steps, and over a chain, of noise alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crestfall.analysis.null import REPLICATES, AgainstNull, against, simulate_null
from crestfall.analysis.trajectory import Trajectory
from crestfall.core.errors import InputError
from research.paper.oracle import Oracle, hindsight_oracle, trace_oracle


@dataclass(frozen=True)
class OracleNull:
    """Means over chains, each campaign's null flat at its own mean. `picked`: the maximum itself; `scored`: its step on
    report."""

    trace_picked: AgainstNull
    trace_scored: AgainstNull
    hindsight_picked: AgainstNull
    hindsight_scored: AgainstNull


def oracles_against_null(
    chains: Sequence[Sequence[Trajectory]], rng: np.random.Generator, replicates: int = REPLICATES
) -> OracleNull:
    """Raises InputError for a campaign without counts, or without a chain."""
    if not chains:
        raise InputError("no chain to compare with its null")
    trace = [trace_oracle(campaigns) for campaigns in chains]
    hindsight = [hindsight_oracle(campaigns) for campaigns in chains]
    nulls_K = [[simulate_null(t, "flat", rng, replicates) for t in campaigns] for campaigns in chains]
    picked_KCB = [np.array([r.picked_B for r in nulls]) for nulls in nulls_K]
    scored_KCB = [np.array([r.peak_B for r in nulls]) for nulls in nulls_K]
    best_scored = [
        np.take_along_axis(scored_CB, picked_CB.argmax(axis=0)[None], axis=0)[0]
        for picked_CB, scored_CB in zip(picked_KCB, scored_KCB, strict=True)
    ]
    return OracleNull(
        trace_picked=against([o.picked for o in trace], [p.mean(axis=0) for p in picked_KCB]),
        trace_scored=against([_scored(o) for o in trace], [s.mean(axis=0) for s in scored_KCB]),
        hindsight_picked=against([o.picked for o in hindsight], [p.max(axis=0) for p in picked_KCB]),
        hindsight_scored=against([_scored(o) for o in hindsight], best_scored),
    )


def _scored(oracle: Oracle) -> float:
    return oracle.picked if oracle.scored is None else oracle.scored
