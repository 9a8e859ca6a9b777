"""One imported curve, wide: the raw values faint, their moving average bold, peak and onset marked."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from crestfall.analysis.analyze import Analysis
from crestfall.analysis.levels import moving_average
from crestfall.analysis.noise import bin_means
from crestfall.core.text import visible
from crestfall.report.charts.axis import MOST_POINTS, Format, Frame, Readings
from crestfall.report.charts.panel import peak_mark
from crestfall.report.svg import area, element, extent, group, line, polyline, text

_BAND = MOST_POINTS // 2


def curve_chart(analysis: Analysis, format_: Format, width: float = 900) -> Markup:
    """Beyond so many points the raw curve is the band between the lowest and the highest of neighbouring values."""
    t, c = analysis.trajectory, analysis.classification
    frame = Frame(width, 270, left=46, right=14)
    steps, raw = t.steps_S.astype(float), t.judged_S
    x = frame.x(float(steps[0]), float(steps[-1]))
    low, high = extent(raw.tolist(), floor=0.0 if raw.min() >= 0 else None)
    y = frame.y(low, high)
    at, smooth = bin_means(steps), moving_average(bin_means(raw), c.smoothing)
    parts = [frame.y_axis(y, format_), frame.x_axis(x, 8), text(frame.left, 12, visible(t.metric, 80), "head")]
    if len(raw) <= MOST_POINTS:
        parts.append(polyline([(x(s), y(v)) for s, v in zip(steps, raw, strict=True)], "seed"))
    else:
        pieces = [
            (float(s.mean()), v) for s, v in zip(np.array_split(steps, _BAND), np.array_split(raw, _BAND), strict=True)
        ]
        upper = [(x(s), y(float(v.max()))) for s, v in pieces]
        parts.append(area(upper, [(x(s), y(float(v.min()))) for s, v in pieces], "convention"))
    parts.append(polyline([(x(s), y(v)) for s, v in zip(at, smooth, strict=True)], "line"))
    if analysis.onset is not None:
        tip = element("title", f"onset of the fall: step {analysis.onset}")
        parts.append(group([tip, line(x(analysis.onset), y.stop, x(analysis.onset), y.start, "stop")]))
    parts.append(peak_mark(x(float(analysis.peak_step)), y(analysis.levels.peak.value)))
    readings = Readings(
        [x(s) for s in at],
        [f"step {s:,.0f}" for s in at],
        {"moving average": smooth.tolist(), "mean of its points": bin_means(raw).tolist()},
    )
    return frame.svg(parts, f"{visible(t.metric, 80)}: {c.label.replace('_', ' ')}", readings)
