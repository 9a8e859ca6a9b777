"""Verdicts of the training samples: their mix over the steps, as a stacked area."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from crestfall.analysis.trajectory import Trajectory
from crestfall.core.types import Verdict
from crestfall.report.charts.axis import ChainAxis, Frame
from crestfall.report.charts.signals import chain_axis, readings_of
from crestfall.report.groups import Group
from crestfall.report.svg import Scale, area, group
from crestfall.report.words import percent

# Bottom to top: what passed, then ever less like a program.
ORDER = tuple(Verdict)
# Hatched as well, so that neighbours differ by more than colour.
HATCHED = frozenset(("syntax_error", "output_limit", "no_code", "infra"))

Mix = Mapping[int, Mapping[int, Mapping[str, float]]]


def has_verdicts(groups: Sequence[Group]) -> bool:
    return any(_mix(g) for g in groups)


def verdicts_seen(groups: Sequence[Group]) -> list[str]:
    """The verdicts that occur, bottom to top; one that this version does not know comes last."""
    seen = {v for g in groups for points in _mix(g).values() for shares in points.values() for v in shares}
    return [v.value for v in ORDER if v.value in seen] + sorted(seen - {v.value for v in ORDER})


def verdict_chart(g: Group, groups: Sequence[Group], width: float = 544) -> Markup:
    """Shares over all seeds of the group; the axis is that of all groups, so that the charts can be compared."""
    frame = Frame(width, 190, left=38, top=10)
    axis, y = chain_axis(groups, frame), frame.y(0, 1)
    mix, seen = _mix(g), verdicts_seen(groups)
    layers = [group(_areas(campaign, points, seen, axis, y)) for campaign, points in mix.items()]
    shares = {
        v.replace("_", " "): {c: {s: at.get(v, 0.0) for s, at in points.items()} for c, points in mix.items()}
        for v in seen
    }
    readings = readings_of(shares, axis, 100, "%")
    parts = [frame.y_axis(y, percent, 2), *layers, axis.draw()]
    return frame.svg(parts, f"verdicts on the training samples of {g.label}", readings)


def _mix(g: Group) -> Mix:
    """campaign -> step -> verdict -> share of the samples of all seeds."""
    mix = {campaign: _shares(g.curves(campaign)) for campaign in g.campaigns()}
    return {campaign: shares for campaign, shares in mix.items() if shares}


def _shares(curves: Sequence[Trajectory]) -> dict[int, dict[str, float]]:
    counts: dict[int, Counter[str]] = {}
    for curve in curves:
        for step, verdicts in (curve.facts.verdicts if curve.facts else {}).items():
            counts.setdefault(step, Counter()).update(verdicts)
    return {
        step: {verdict: n / at.total() for verdict, n in at.items() if n}
        for step, at in sorted(counts.items())
        if at.total()
    }


def _areas(
    campaign: int, points: Mapping[int, Mapping[str, float]], seen: Sequence[str], axis: ChainAxis, y: Scale
) -> list[Markup]:
    below = dict.fromkeys(points, 0.0)
    layers = []
    for verdict in seen:
        above = {step: below[step] + points[step].get(verdict, 0.0) for step in points}
        upper = [(axis.x(campaign, step), y(share)) for step, share in above.items()]
        lower = [(axis.x(campaign, step), y(share)) for step, share in below.items()]
        layers.append(area(upper, lower, verdict_class(verdict)))
        if verdict in HATCHED:
            layers.append(area(upper, lower, "hatched", fill="url(#hatch)"))
        below = above
    return layers


def verdict_class(verdict: str) -> str:
    """The style sheet's class of a verdict; unknown ones share one."""
    return f"v-{verdict}" if verdict in {v.value for v in ORDER} else "v-other"
