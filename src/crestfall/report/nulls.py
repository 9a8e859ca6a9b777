"""Values that noise alone would produce: per campaign for the curves, per method for the statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crestfall.analysis.measures import measure_campaign
from crestfall.analysis.null import REPLICATES, AgainstNull, NullComparison, against_null, simulate_null
from crestfall.analysis.trajectory import Trajectory
from crestfall.core.rng import stream
from crestfall.report.groups import Group
from crestfall.report.words import p_value, percent, points

# One-sided: a gap below it is what 95 of 100 curves show that rise alike and never fall.
LEVEL = 0.95


@dataclass(frozen=True)
class GapNoise:
    """The 95% quantile of a campaign's gap under the two nulls, fractions."""

    plateau: float
    flat: float


Noise = Mapping[str, GapNoise]


def gap_noise(groups: Sequence[Group]) -> Noise:
    """By trajectory's name, for every campaign whose counts are known and that went on after its first evaluation."""
    curves = [t for g in groups for run in g.runs for t in run.campaigns if t.select is not None and len(t) > 1]
    return {t.name: GapNoise(_quantile(t, "plateau"), _quantile(t, "flat")) for t in curves}


def _quantile(trajectory: Trajectory, kind: str) -> float:
    rng = stream("report", kind, trajectory.name)
    replicates = simulate_null(trajectory, "flat" if kind == "flat" else "plateau", rng)
    return float(np.quantile(replicates.gap_B, LEVEL))


@dataclass(frozen=True)
class NullRow:
    """One statistic of one method beside its null, as printed."""

    style: str
    label: str
    statistic: str
    observed: str
    null: str
    range: str
    p_value: str


def null_rows(groups: Sequence[Group]) -> list[NullRow]:
    """Mean gap, collapse rate, onset and phase-transition score over all campaigns of each method."""
    rows: list[NullRow] = []
    for g in groups:
        curves = [t for run in g.runs for t in run.campaigns if t.select is not None and len(t) > 1]
        if curves:
            rows += _rows(g, against_null(curves, stream("report", "statistics", g.label)), curves)
    return rows


_FORMATS: Mapping[str, Callable[[float], str]] = {"points": points, "percent": percent, "step": "{:.1f}".format}


def _rows(g: Group, c: NullComparison, curves: Sequence[Trajectory]) -> list[NullRow]:
    def row(statistic: str, found: AgainstNull, null: str, kind: str) -> NullRow:
        show = _FORMATS[kind]
        between = f"{show(found.null_low)} to {show(found.null_high)}"
        p = p_value(found.p_value, REPLICATES)
        return NullRow(g.style, g.label, statistic, show(found.observed), null, between, p)

    collapsed = sum(measure_campaign(t).collapsed for t in curves)
    gap, rate = "mean gap, points", f"collapses: {collapsed} of {c.campaigns}"
    rows = [
        row(gap, c.gap_flat, "flat", "points"),
        row(gap, c.gap, "rise, then plateau", "points"),
        row(rate, c.collapse_rate_flat, "flat", "percent"),
        row(rate, c.collapse_rate, "rise, then plateau", "percent"),
    ]
    clear = f"of {c.clear} clear fall{'' if c.clear == 1 else 's'}"
    if c.onset is not None:
        rows.append(row(f"mean onset, step, {clear}", c.onset, "gradual fall of the same size", "step"))
    if c.phase_transition is not None:
        score = f"largest step's share, {clear}"
        rows.append(row(score, c.phase_transition, "gradual fall of the same size", "percent"))
    return rows
