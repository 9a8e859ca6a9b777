"""The regime map: which settings rise, hold, collapse or die, every seed in sight, and what each factor does alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from research.figures.regime_table import OUTCOMES, RegimeRow, RegimeTable, read_table
from research.figures.style import FAINT, INK, MUTED, Saved, new_figure, percent_axis, save, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Shape and lightness tell the classes apart without colour.
_MARKS = {
    "no_rise": ("s", "#a3a9b5", "no rise"),
    "rise_and_hold": ("o", "#0072b2", "rises and holds"),
    "rise_and_collapse": ("v", "#d55e00", "rises and collapses"),
    "dies": ("X", "#1d2433", "dies"),
}
_HATCHES = {"no_rise": "", "rise_and_hold": "", "rise_and_collapse": "////", "dies": ""}
_ROW, _PANEL_ROW = 0.27, 0.235  # inches
_SEED_SPREAD = 0.56  # of a row's height


def regime_map(table: RegimeTable) -> Figure:
    """Cells as rows (factors ordered by how much of the collapse they explain), seeds as marks, dumbbells from start to
    peak to end, and the share of outcomes at each level of each factor."""
    table = table.by_influence()
    cells = list(table.cells().items())
    panel_rows = sum(len(table.levels(f)) + 1 for f in range(len(table.factors)))
    heights = [1.05 + _ROW * len(cells), 0.75 + _PANEL_ROW * panel_rows]
    with styled():
        figure = new_figure(sum(_widths(table)), sum(heights))
        top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
        _draw_cells(top, table, cells)
        _draw_effects(bottom, table)
    return figure


def write_regime_map(source: Path, stem: Path, factors: Sequence[str] | None = None) -> Saved:
    """Read the CSV (see `regime_table`) and write `stem`.svg and `stem`.pdf."""
    return save(regime_map(read_table(source, factors)), stem)


def _widths(table: RegimeTable) -> list[float]:
    """Widths of the design, seeds and scores panels, in inches."""
    seeds = max(len(rows) for rows in table.cells().values())
    return [max(1.8, 0.88 * len(table.factors)), 0.24 * seeds + 0.3, 3.8]


def _draw_cells(host: Any, table: RegimeTable, cells: list[tuple[tuple[str, ...], list[RegimeRow]]]) -> None:
    seeds = max(len(rows) for _, rows in cells)
    design, marks, scores = host.subplots(1, 3, width_ratios=_widths(table), sharey=True)
    _draw_design(design, table, [levels for levels, _ in cells])
    for y, (_, rows) in enumerate(cells):
        _draw_seeds(marks, scores, y, rows)
    for axes in (design, marks, scores):
        axes.set_ylim(len(cells) - 0.5, -0.5)
        axes.tick_params(left=False, labelleft=False)
        for boundary in _boundaries([levels for levels, _ in cells]):
            axes.axhline(boundary, color=MUTED, linewidth=0.6)
    marks.set_xlim(-0.6, seeds - 0.4)
    marks.set_xticks([])
    marks.set_title("seeds")
    marks.grid(visible=False)
    marks.spines[:].set_visible(False)
    _finish_scores(scores, len(cells))
    _legend(host)


def _draw_design(axes: Any, table: RegimeTable, rows: list[tuple[str, ...]]) -> None:
    """The levels of each cell as words on a tint that grows with the level: blocks of equal settings stand out."""
    for factor, name in enumerate(table.factors):
        levels = table.levels(factor)
        for y, row in enumerate(rows):
            rank = levels.index(row[factor]) / max(1, len(levels) - 1)
            axes.add_patch(_tile(factor, y, rank))
            axes.text(factor, y, _short(row[factor]), ha="center", va="center", fontsize=7)
        axes.text(factor, -0.75, _wrapped(name), ha="center", va="bottom", fontsize=7, fontweight="bold")
    axes.set_xlim(-0.5, len(table.factors) - 0.5)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _tile(x: float, y: float, rank: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=INK, alpha=0.03 + 0.15 * rank, linewidth=0)


def _draw_seeds(marks: Any, scores: Any, y: float, rows: list[RegimeRow]) -> None:
    """One mark per seed, and one line start - peak - end per seed, one under the other within the row."""
    for k, row in enumerate(rows):
        shape, color, _ = _MARKS[row.outcome]
        marks.plot(k, y, shape, color=color, markersize=6, markeredgecolor="white", markeredgewidth=0.4)
        lane = y + _SEED_SPREAD * ((k + 0.5) / len(rows) - 0.5)
        if row.start is not None and row.peak is not None:
            scores.plot([row.start, row.peak], [lane, lane], color=MUTED, linewidth=0.9, alpha=0.7)
            scores.plot(row.start, lane, "o", color="white", markeredgecolor=MUTED, markersize=3.2, markeredgewidth=0.8)
        if row.peak is not None and row.end is not None:
            scores.plot([row.peak, row.end], [lane, lane], color=color, linewidth=1.5)
            scores.plot(row.peak, lane, "|", color=color, markersize=5, markeredgewidth=1.5)
            scores.plot(row.end, lane, shape, color=color, markersize=3.8, markeredgewidth=0)


def _finish_scores(axes: Any, rows: int) -> None:
    axes.set_title("pass@1 on report: ○ start, | peak, filled: end")
    axes.set_xlim(left=-0.02)
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    percent_axis(axes.xaxis)
    for y in range(0, rows, 2):
        axes.axhspan(y - 0.5, y + 0.5, color=FAINT, alpha=0.25, linewidth=0, zorder=0)


def _draw_effects(host: Any, table: RegimeTable) -> None:
    """Per factor and level: the share of each outcome over the design's chains at that level, as the table of effects
    counts them, and the mean fall of the peak."""
    shares, falls = host.subplots(1, 2, width_ratios=[3, 1.4], sharey=True)
    y, ticks, labels = 0.0, [], []
    for factor, name in enumerate(table.factors):
        shares.text(-0.012, y, name.replace("_", " "), ha="right", va="center", fontweight="bold", fontsize=7.5)
        for level in table.levels(factor):
            rows = [row for row in table.rows if row.levels[factor] == level and row.balanced]
            if not rows:
                continue
            y += 1
            _bar(shares, y, rows)
            _fall(falls, y, rows)
            ticks.append(y)
            labels.append(f"{_short(level)}  ({len(rows)})")
        y += 1.35
    shares.set_yticks(ticks, labels)
    shares.set_ylim(y - 0.6, -0.7)
    shares.set_xlim(0, 1)
    shares.grid(visible=False)
    shares.spines["left"].set_visible(False)
    percent_axis(shares.xaxis)
    shares.set_title("Share of outcomes at each level (number of chains)")
    falls.set_title("Mean fall, peak to end")
    falls.grid(visible=True, axis="x")
    falls.grid(visible=False, axis="y")
    falls.spines["left"].set_visible(False)
    falls.tick_params(labelleft=False)
    falls.set_xlim(left=0)
    percent_axis(falls.xaxis)
    _note(host, table)


def _bar(axes: Any, y: float, rows: list[RegimeRow]) -> None:
    left = 0.0
    for outcome in OUTCOMES:
        share = sum(row.outcome == outcome for row in rows) / len(rows)
        _, color, _ = _MARKS[outcome]
        axes.barh(y, share, 0.78, left, color=color, edgecolor="white", linewidth=0.7, hatch=_HATCHES[outcome])
        if share >= 0.08:
            ink = INK if outcome == "no_rise" else "white"
            text = axes.text(left + share / 2, y, f"{share:.0%}", ha="center", va="center", fontsize=6.5, color=ink)
            text.set_bbox({"facecolor": color, "edgecolor": "none", "pad": 0.8})
        left += share


def _fall(axes: Any, y: float, rows: list[RegimeRow]) -> None:
    """The mean over cells, with the standard error over cells: seeds of one cell are no independent designs."""
    by_cell: dict[tuple[str, ...], list[float]] = {}
    for row in rows:
        if row.peak is not None and row.end is not None:
            by_cell.setdefault(row.levels, []).append(row.peak - row.end)
    means = [sum(falls) / len(falls) for falls in by_cell.values()]
    if not means:
        return
    mean = sum(means) / len(means)
    axes.plot(mean, y, "o", color=INK, markersize=4)
    if len(means) > 1:
        error = (sum((m - mean) ** 2 for m in means) / (len(means) - 1) / len(means)) ** 0.5
        axes.plot([mean - error, mean + error], [y, y], color=INK, linewidth=1.1)


def _legend(host: Any) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker=shape, color=color, linestyle="none", markersize=6, label=label)
        for shape, color, label in _MARKS.values()
    ]
    host.legend(handles=handles, loc="outside upper right", ncols=4)


def _note(host: Any, table: RegimeTable) -> None:
    fixed = "; ".join(f"{name} = {_short(level)}" for name, level in table.constant)
    note = f"{len(table.rows)} chains in {len(table.cells())} cells. Lines: one standard error over cells."
    host.supxlabel(note + (f" The same everywhere: {fixed}." if fixed else ""), fontsize=7, color=MUTED)


def _boundaries(rows: list[tuple[str, ...]]) -> list[float]:
    """Between which rows the first factor changes."""
    return [y - 0.5 for y in range(1, len(rows)) if rows[y] and rows[y][0] != rows[y - 1][0]]


def _short(level: str) -> str:
    """Numbers without noise (8.0e-04: 0.0008), words without underscores, nothing longer than its tile."""
    if "." in level or "e" in level:
        with suppress(ValueError):
            return f"{float(level):g}"
    words = level.replace("_", " ") or "–"
    return words if len(words) <= 13 else words[:12] + "…"


def _wrapped(name: str) -> str:
    return name.replace("_", "\n") if len(name) > 9 else name
