"""Axes: a frame with grid and labels, and the chain's axis, on which campaigns stand side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from crestfall.report.svg import Scale, element, group, line, text, ticks

Format = Callable[[float], str]
# A longer curve is thinned for drawing: more points than pixels say nothing and weigh much.
MOST_POINTS = 600


@dataclass(frozen=True)
class Frame:
    """The plot area inside an SVG, in pixels."""

    width: float
    height: float
    left: float = 34
    right: float = 8
    top: float = 20
    bottom: float = 22

    def x(self, low: float, high: float) -> Scale:
        return Scale(low, high, self.left, self.width - self.right)

    def y(self, low: float, high: float) -> Scale:
        return Scale(low, high, self.height - self.bottom, self.top)

    def y_axis(self, scale: Scale, format_: Format, count: int = 4) -> Markup:
        """Horizontal grid lines with their labels on the left."""
        marks = []
        for tick in ticks(scale.low, scale.high, count):
            y = scale(tick)
            marks.append(line(self.left, y, self.width - self.right, y, "grid"))
            marks.append(text(self.left - 5, y, format_(tick), "tick y", "end", ".32em"))
        return group(marks)

    def x_axis(self, scale: Scale, count: int = 4, first: bool = True) -> Markup:
        """The base line with whole-numbered ticks. Without `first` the lowest has no label: neighbours would touch."""
        base = self.height - self.bottom
        marks = [line(self.left, base, self.width - self.right, base, "base")]
        for tick in ticks(scale.low, scale.high, count):
            if tick != int(tick):
                continue
            marks.append(line(scale(tick), base, scale(tick), base + 3, "base"))
            if first or tick > scale.low:
                anchor = "start" if tick == scale.low else "middle"  # beside the lowest label of y
                marks.append(text(scale(tick), base + 3, f"{int(tick):,}", "tick", anchor, "1em"))
        return group(marks)

    def svg(self, children: Sequence[Markup], title: str, readings: Readings | None = None) -> Markup:
        """The finished drawing. With `readings` it can be hovered over, focused and walked through with arrow keys."""
        return element(
            "svg",
            element("title", title),
            *children,
            viewBox=f"0 0 {self.width:g} {self.height:g}",
            role="img",
            tabindex=0 if readings else None,
            data_read=readings.json(self) if readings else None,
        )


@dataclass(frozen=True)
class Readings:
    """Texts of a chart under the pointer: at each x, a caption and one value per row (None: nothing there)."""

    x: Sequence[float]
    captions: Sequence[str]
    rows: Mapping[str, Sequence[float | None]]
    unit: str = ""

    def json(self, frame: Frame) -> str:
        def short(value: float | None) -> float | None:
            return None if value is None else float(f"{value:.3g}")

        return json.dumps(
            {
                "x": [round(x, 1) for x in self.x],
                "at": list(self.captions),
                "rows": [[name, [short(v) for v in values]] for name, values in self.rows.items()],
                "unit": self.unit,
                "top": frame.top,
                "base": frame.height - frame.bottom,
            },
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        )


@dataclass(frozen=True)
class ChainAxis:
    """Steps of a chain along x: campaigns side by side, each as wide as its longest curve, a gap between them."""

    frame: Frame
    longest: Mapping[int, tuple[int, int]]
    gap: float = 6.0

    def x(self, campaign: int, step: float) -> float:
        first, last = self.longest[campaign]
        begin = self._begin(campaign)
        return begin + (step - first) * self._per_step if last > first else begin

    @property
    def _per_step(self) -> float:
        room = self.frame.width - self.frame.left - self.frame.right - self.gap * (len(self.longest) - 1)
        return room / max(1, sum(last - first for first, last in self.longest.values()))

    def _begin(self, campaign: int) -> float:
        before = [c for c in self.longest if c < campaign]
        steps = sum(self.longest[c][1] - self.longest[c][0] for c in before)
        return self.frame.left + steps * self._per_step + self.gap * len(before)

    def draw(self) -> Markup:
        """The base line of each campaign, and its number (steps, where there is only one)."""
        if len(self.longest) == 1:
            (first, last) = next(iter(self.longest.values()))
            return self.frame.x_axis(self.frame.x(first, last))
        base = self.frame.height - self.frame.bottom
        every = -(-len(self.longest) // 12)
        marks = []
        for k, (campaign, (first, last)) in enumerate(self.longest.items()):
            left, right = self.x(campaign, first), self.x(campaign, last)
            marks.append(line(left, base, right, base, "base"))
            if k:
                marks.append(line(left - self.gap / 2, self.frame.top, left - self.gap / 2, base, "cut"))
            if k % every == 0:
                marks.append(text((left + right) / 2, base + 3, str(campaign + 1), "tick", "middle", "1em"))
        return group(marks)


def thinned(count: int) -> list[int]:
    """Indices of at most `MOST_POINTS` of `count` points, evenly, the last one among them."""
    if count <= MOST_POINTS:
        return list(range(count))
    return sorted({round(k * (count - 1) / (MOST_POINTS - 1)) for k in range(MOST_POINTS)})
