"""All methods in one chart: the mean score of each at every step, on the chain's axis."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from crestfall.report.charts.axis import Frame
from crestfall.report.charts.panel import mean_curve
from crestfall.report.charts.signals import chain_axis, lines_of, readings_of
from crestfall.report.groups import Group
from crestfall.report.svg import extent
from crestfall.report.words import compact, percent


def overlay_chart(groups: Sequence[Group], width: float = 760) -> Markup:
    """A line per group; scores that are no shares are drawn on an axis of their own extent."""
    frame = Frame(width, 250, left=40, top=10)
    axis = chain_axis(groups, frame)
    means = {g.label: {c: dict(zip(*mean_curve(g.curves(c)), strict=True)) for c in g.campaigns()} for g in groups}
    values = [v for campaigns in means.values() for points in campaigns.values() for v in points.values()]
    share = min(values, default=0.0) >= 0 and max(values, default=0.0) <= 1
    low, high = (0.0, min(1.0, max(0.1, 1.05 * max(values, default=1.0)))) if share else extent(values)
    y = frame.y(low, high)
    lines = [lines_of(g, means[g.label], axis, y) for g in groups]
    readings = readings_of(means, axis, 100 if share else 1, "%" if share else "")
    title = "mean score of every method at every step"
    return frame.svg([frame.y_axis(y, percent if share else compact), axis.draw(), *lines], title, readings)
