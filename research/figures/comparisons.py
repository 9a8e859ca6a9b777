"""Methods beside each other: end of chain with intervals, and what the oracles say was to be had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from crestfall.analysis.bootstrap import FEWEST_UNITS, end_interval
from crestfall.analysis.trajectory import Run
from crestfall.core.errors import InputError
from research.figures.style import INK, MUTED, PALETTE, new_figure, percent_axis, styled
from research.figures.trajectories import markers
from research.paper.chain import ChainMeasures, measure_chain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Interval:
    """Mean of a method over its seeds, an interval (None: too few seeds for one), and every seed's value. Fractions."""

    mean: float
    low: float | None
    high: float | None
    seeds: tuple[float, ...]


def intervals(rows: Mapping[str, Interval], base: float | None = None, note: str = "") -> Figure:
    """One row per method: seeds as dots, mean and interval. `base`: the untouched policy, as a dashed line; `note`:
    what kind of interval this is and how far it covers.

    Raises:
        InputError: no rows.
    """
    if not rows:
        raise InputError("no method has an end of chain: nothing to compare")
    with styled():
        figure = new_figure(5.2, 0.75 + 0.34 * len(rows))
        axes = figure.subplots()
        for y, ((_, row), (color, marker)) in enumerate(zip(rows.items(), markers(list(rows)).values(), strict=True)):
            lane = [y + 0.2] * len(row.seeds)
            axes.plot(row.seeds, lane, "o", color=color, markersize=3, alpha=0.5, markeredgewidth=0)
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [y, y], color=color, linewidth=2.2)
            axes.plot(row.mean, y, marker, color=color, markersize=_size(marker), markeredgecolor="white")
            axes.annotate(f"{row.mean:.1%}", (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=7.5)
        if base is not None:
            axes.axvline(base, color=INK, linewidth=0.8, linestyle="--")
            axes.annotate(" base", (base, -0.6), ha="left", va="center", fontsize=7, color=MUTED)
        _rows(axes, list(rows), "end of chain: pass@1 on final")
        axes.set_xlim(left=-0.01)  # a mark at 0 is seen whole
        if note:
            figure.supxlabel(fill(note, 100), fontsize=6.5, color=MUTED)
    return figure


def end_of_chain(methods: Mapping[str, Sequence[Run]]) -> dict[str, Interval]:
    """Every method's end of chain on final with a studentised bootstrap interval over seeds; from four seeds on."""
    rows: dict[str, Interval] = {}
    for method, chains in chain_scores(methods).items():
        values = [c.end_of_chain for c in chains if c.end_of_chain is not None]
        if len(values) >= FEWEST_UNITS:
            found = end_interval(method, np.array(values))
            rows[method] = Interval(found.estimate, found.low, found.high, tuple(values))
        elif values:
            rows[method] = Interval(float(np.mean(values)), None, None, tuple(values))
    return rows


def chain_scores(methods: Mapping[str, Sequence[Run]]) -> dict[str, list[ChainMeasures]]:
    """The measures of every chain that has begun, by method."""
    found = {m: [measure_chain(run) for run in runs if run.campaigns] for m, runs in methods.items()}
    return {method: chains for method, chains in found.items() if chains}


def oracles(methods: Mapping[str, Sequence[Run]]) -> Figure:
    """Plot each method's chains between their mean end and their best step: mean end of campaigns,
    mean start on fresh problems, end of chain, trace oracle, hindsight oracle. Oracles are scored on report where there
    is one; the hollow mark is the maximum as it was picked, and the distance is selection bias.

    Raises:
        InputError: no method has a campaign.
    """
    chains = chain_scores(methods)
    if not chains:
        raise InputError("no campaign has been evaluated: nothing to decompose")
    with styled():
        figure = new_figure(6.0, 1.1 + 0.42 * len(chains))
        axes = figure.subplots()
        for y, measures in enumerate(chains.values()):
            _decompose(axes, y, measures)
        _rows(axes, list(chains), "pass@1, mean over chains")
        axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=3, handletextpad=0.3)
    return figure


def _decompose(axes: Any, y: float, chains: Sequence[ChainMeasures]) -> None:
    trace, hindsight = [c.trace for c in chains], [c.hindsight for c in chains]
    rows: tuple[tuple[str, str, str, list[float | None]], ...] = (
        ("mean end of campaigns", "o", PALETTE[0], [c.mean_end for c in chains]),
        ("end of chain", "s", INK, [c.end_of_chain for c in chains]),
        ("mean start, fresh problems", "<", PALETTE[4], [c.mean_start for c in chains]),
        ("trace oracle", "D", PALETTE[1], [o.picked if o.scored is None else o.scored for o in trace]),
        ("hindsight oracle", "*", PALETTE[2], [o.picked if o.scored is None else o.scored for o in hindsight]),
    )
    known = [[v for v in values if v is not None] for *_, values in rows]
    means = [float(np.mean(values)) for values in known if values]
    axes.plot([min(means), max(means)], [y, y], color=MUTED, linewidth=1.2, zorder=1)
    for (label, marker, color, _), values in zip(rows, known, strict=True):
        if values:
            named = None if y else label
            axes.plot(np.mean(values), y, marker, color=color, markersize=_size(marker), label=named, linestyle="")
    for oracle, color in ((trace, PALETTE[1]), (hindsight, PALETTE[2])):
        picked = float(np.mean([o.picked for o in oracle]))
        axes.plot(picked, y - 0.2, "o", color="none", markeredgecolor=color, markersize=4)
    if not y:
        axes.plot([], [], "o", color="none", markeredgecolor=MUTED, markersize=4, label="as picked: biased upwards")


def _rows(axes: Any, names: Sequence[str], label: str) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.75)
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(label)
    percent_axis(axes.xaxis, 0.1)


def _size(marker: str) -> float:
    """A star of the size of the others looks smaller."""
    return 9 if marker == "*" else 6
