"""Shared style of the figures: a palette for colour blindness and grey printing, type, and saving.

matplotlib comes with the extra `report` and is imported when the first figure is drawn. Figures are made without
pyplot: no global state, no display.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crestfall.core.entry import script_parser
from crestfall.core.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito (2008), ordered so that neighbours differ in lightness as well.
PALETTE = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b4b8a", "#7f7f7f")
MARKERS = ("o", "D", "s", "^", "v", "P", "X", "*")
INK, MUTED, FAINT = "#1d2433", "#667085", "#d9dde5"

LIGHT, DARK = {"ink": INK, "grid": FAINT}, {"ink": "#d6dbe6", "grid": "#3a4252"}
"""Themes of figures without a background, for pages of either kind."""

Draw = Callable[[Sequence[Mapping[str, str]], Mapping[str, str]], Any]
"""From rows of a CSV and a theme to a figure."""

_RC: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.labelsize": 8,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "figure.constrained_layout.use": True,
    "hatch.linewidth": 0.5,
    "svg.hashsalt": "crestfall",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Saved:
    """The two files of one figure."""

    svg: Path
    pdf: Path


@contextmanager
def styled(theme: Mapping[str, str] | None = None) -> Iterator[None]:
    """matplotlib's settings for one figure, on white or, with a theme, without a background.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError("matplotlib", "report") from error
    with matplotlib.rc_context(dict(_RC) | ({} if theme is None else _themed(theme))):
        yield


def _themed(theme: Mapping[str, str]) -> dict[str, str]:
    ink = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.labelcolor", "ytick.labelcolor")
    clear = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
    return dict.fromkeys(ink, theme["ink"]) | dict.fromkeys(clear, "none") | {"grid.color": theme["grid"]}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, bound to no window."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def save(figure: Figure, stem: Path) -> Saved:
    """Write `stem`.svg and `stem`.pdf, each complete or not at all, without the time of day in them."""
    with styled():
        saved = Saved(stem.with_name(stem.name + ".svg"), stem.with_name(stem.name + ".pdf"))
        stem.parent.mkdir(parents=True, exist_ok=True)
        for target, dates in ((saved.svg, ("Date",)), (saved.pdf, ("CreationDate", "ModDate"))):
            part = target.with_name(f".{target.name}.part")
            figure.savefig(part, format=target.suffix[1:], metadata=dict.fromkeys(dates))
            os.replace(part, target)
    return saved


def draw_curves(name: str, doc: str | None, draw: Draw, argv: Sequence[str] | None) -> int:
    """The script `name`: draws a CSV of curves as OUT.svg, for light pages, and OUT-dark.svg. Exit codes: 0 done, 2 bad
    input (one line on stderr)."""
    parser = script_parser(name, doc)
    parser.add_argument("curves", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="path without a suffix")
    args = parser.parse_args(argv)
    with args.curves.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for suffix, theme in (("", LIGHT), ("-dark", DARK)):
        print(save(draw(rows, theme), args.out.with_name(args.out.name + suffix)).svg)
    return 0


def percent_axis(axis: Any, step: float = 0.2) -> None:
    """Label a matplotlib Axis (not Axes) of fractions in per cent."""
    from matplotlib.ticker import MultipleLocator, PercentFormatter

    axis.set_major_locator(MultipleLocator(step))
    axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
