"""Signals of training: one small chart per signal, all on the chain's axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from markupsafe import Markup

from crestfall.analysis.trajectory import Trajectory
from crestfall.report.charts.axis import ChainAxis, Format, Frame, Readings, thinned
from crestfall.report.groups import Group, number_of
from crestfall.report.svg import Scale, extent, group, polyline
from crestfall.report.words import compact, percent

# The order in which they are shown: the loudest witnesses of a collapse first.
SHOWN = (
    "entropy",
    "length",
    "truncated",
    "kl_base",
    "grad_norm",
    "distinct",
    "zero_variance_groups",
    "reward",
    "kl_start",
    "update_norm",
    "logprob_passed",
    "logprob_failed",
    "baseline_drift",
    "clip_fraction",
    "mismatch",
)
_SHARES = frozenset(("truncated", "distinct", "zero_variance_groups", "clip_fraction", "reward"))


def chain_axis(groups: Sequence[Group], frame: Frame) -> ChainAxis:
    """The axis on which every campaign is as wide as the longest of its curves in any group."""
    longest: dict[int, tuple[int, int]] = {}
    for curve in (t for g in groups for run in g.runs for t in run.campaigns if len(t)):
        first, last = int(curve.steps_S[0]), int(curve.steps_S[-1])
        if curve.facts is not None:
            last = max(last, curve.facts.budget)
        known = longest.get(number_of(curve), (first, last))
        longest[number_of(curve)] = min(known[0], first), max(known[1], last)
    return ChainAxis(frame, dict(sorted(longest.items())))


def measured(groups: Sequence[Group]) -> list[str]:
    """The shown signals that at least one run has."""
    known = {name for g in groups for run in g.runs for t in run.campaigns for name, s in t.signals.items() if len(s)}
    return [name for name in SHOWN if name in known]


def signal_chart(name: str, groups: Sequence[Group], width: float = 352) -> Markup:
    """One signal: a line per group, the mean over the seeds that have it at that step."""
    share = name in _SHARES
    format_: Format = percent if share else compact
    frame = Frame(width, 132, left=40, top=10)
    axis = chain_axis(groups, frame)
    means = {g.label: {c: _mean(g.curves(c), name) for c in g.campaigns()} for g in groups}
    values = [v for campaigns in means.values() for points in campaigns.values() for v in points.values()]
    low, high = extent(values, floor=0.0 if min(values, default=0.0) >= 0 else None)
    if share and low >= 0 and max(values, default=0.0) <= 1:
        high = min(1.0, high) if any(values) else 0.1
    y = frame.y(low, high)
    lines = [lines_of(g, means[g.label], axis, y) for g in groups]
    readings = readings_of(means, axis, 100 if share else 1, "%" if share else "")
    return frame.svg([frame.y_axis(y, format_, 3), axis.draw(), *lines], f"{name} over the steps", readings)


def _mean(curves: Iterable[Trajectory], name: str) -> dict[int, float]:
    """The signal's mean over seeds at every step at which one of them has it."""
    at: dict[int, list[float]] = {}
    for curve in curves:
        series = curve.signals.get(name)
        if series is not None:
            for i in thinned(len(series)):
                at.setdefault(int(series.steps_S[i]), []).append(float(series.values_S[i]))
    return {step: float(np.mean(values)) for step, values in sorted(at.items())}


def lines_of(g: Group, campaigns: dict[int, dict[int, float]], axis: ChainAxis, y: Scale) -> Markup:
    lines = [polyline([(axis.x(c, s), y(v)) for s, v in points.items()], "line") for c, points in campaigns.items()]
    return group(lines, class_=g.style)


def readings_of(
    means: dict[str, dict[int, dict[int, float]]], axis: ChainAxis, factor: float, unit: str
) -> Readings | None:
    places = sorted({(c, s) for campaigns in means.values() for c, points in campaigns.items() for s in points})
    if not places:
        return None
    rows = {
        label: [factor * campaigns[c][s] if s in campaigns.get(c, {}) else None for c, s in places]
        for label, campaigns in means.items()
    }
    captions = [f"{c + 1}·{s}" if len(axis.longest) > 1 else f"step {s:,}" for c, s in places]
    return Readings([axis.x(c, s) for c, s in places], captions, rows, unit)
