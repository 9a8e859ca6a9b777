"""SVG by hand: elements that escape what they are given, linear scales, round ticks, paths.

Colours live in the style sheet, by class, so that one drawing serves light, dark and print.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Child = str | Markup
Attribute = str | float | int | None


def number(value: float) -> str:
    """At most one decimal: a tenth of a pixel, and a page that can be mailed."""
    return f"{value:.1f}".removesuffix(".0")


def element(tag: str, *children: Child, **attributes: Attribute) -> Markup:
    """`<tag ...>children</tag>`. `class_` is `class`, other underscores are hyphens, None leaves an attribute out.

    Children that are not Markup are escaped, and so is every attribute.
    """
    written = [
        f' {name.rstrip("_").replace("_", "-")}="{escape(value if isinstance(value, str) else number(value))}"'
        for name, value in attributes.items()
        if value is not None
    ]
    inside = "".join(str(escape(child)) for child in children)
    return Markup(f"<{tag}{''.join(written)}>{inside}</{tag}>" if inside else f"<{tag}{''.join(written)}/>")


def group(children: Iterable[Child], **attributes: Attribute) -> Markup:
    return element("g", *children, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return element("path", d=f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}", class_=class_)


def text(
    x: float, y: float, content: str, class_: str = "", anchor: str | None = None, dy: str | None = None
) -> Markup:
    """`dy`: a shift in `em`, for text that the style sheet may set larger."""
    return element("text", content, x=x, y=y, dy=dy, class_=class_ or None, text_anchor=anchor)


def polyline(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """A line through the points; one point becomes a dot that a round line cap makes visible."""
    if not points:
        return Markup("")
    return element("path", d=path(points) + ("h0" if len(points) == 1 else ""), class_=class_)


def path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def area(
    upper: Sequence[tuple[float, float]], lower: Sequence[tuple[float, float]], class_: str, fill: str | None = None
) -> Markup:
    """The surface between two lines over the same x."""
    if not upper:
        return Markup("")
    return element("path", d=path([*upper, *reversed(lower)]) + "Z", class_=class_, fill=fill)


@dataclass(frozen=True)
class Scale:
    """A linear map from data to pixels. A domain without extent maps to the middle of the range."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        if self.high == self.low:
            return (self.start + self.stop) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`, both inclusive."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = min((m * magnitude for m in (1, 2, 5, 10)), key=lambda s: abs(math.log(s / rough)))
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def extent(values: Iterable[float], floor: float | None = None) -> tuple[float, float]:
    """A domain that holds the values with a little air; `floor` is always inside it. (0, 1) where there are none."""
    known = list(values)
    if floor is not None:
        known.append(floor)
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    air = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    return (low if low == floor else low - air), high + air
