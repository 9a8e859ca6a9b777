"""End of chain, one row per group: a dot per seed, the mean as a bar, the base policy as a dashed line."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from rich.cells import cell_len, set_cell_size

from crestfall.report.charts.axis import Frame
from crestfall.report.svg import element, group, line, text, ticks
from crestfall.report.tables import EndRow
from crestfall.report.words import percent

_ROW = 30
MOST_LETTERS = 13


def shortened(label: str) -> str:
    """A name that fits beside the chart; the table beside it has the whole."""
    return label if cell_len(label) <= MOST_LETTERS else f"{set_cell_size(label, MOST_LETTERS - 1).rstrip()}…"


def end_chart(rows: Sequence[EndRow], base: float | None, width: float = 460) -> Markup:
    """`base`: the base policy's score on final, where known."""
    frame = Frame(width, 34 + _ROW * len(rows), left=160, top=8, right=16)
    highest = max([v for row in rows for v in row.values] + [base or 0.0])
    x = frame.x(0.0, max(0.1, min(1.0, highest * 1.12)))
    bottom = frame.height - frame.bottom
    parts = [line(x(t), frame.top, x(t), bottom, "grid") for t in ticks(x.low, x.high)]
    parts += [text(x(t), bottom + 15, percent(t), "tick", "middle") for t in ticks(x.low, x.high)]
    if base is not None:
        parts.append(
            group(
                [element("title", f"base policy {percent(base, 1)}"), line(x(base), frame.top, x(base), bottom, "stop")]
            )
        )
    for k, row in enumerate(rows):
        y = frame.top + _ROW * (k + 0.5)
        mean = sum(row.values) / len(row.values)
        dots = [
            element("circle", element("title", percent(v, 1)), cx=x(v), cy=y, r=4, class_="spot") for v in row.values
        ]
        marks = [*dots, line(x(mean), y - 8, x(mean), y + 8, "mean")] if len(dots) > 1 else dots
        parts.append(
            group([text(frame.left - 8, y + 4, shortened(row.label), "name", "end"), *marks], class_=row.style)
        )
    return frame.svg(parts, "end of chain per method: " + "; ".join(f"{row.label} {row.mean}" for row in rows))
