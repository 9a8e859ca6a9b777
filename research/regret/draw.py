"""The performance profile, and every curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from research.figures.style import INK, MUTED, PALETTE, Saved, new_figure, save, styled
from research.regret.scores import Entry, Reference

_LINES = ("-", "--", ":")


def draw(entries: Sequence[Entry], references: Mapping[str, Reference], out: Path) -> list[Saved]:
    looks = {e.name: (PALETTE[i % len(PALETTE)], _LINES[i // len(PALETTE) % 3]) for i, e in enumerate(entries)}
    return [_profile(entries, looks, out / "profile"), _curves(entries, references, looks, out / "curves")]


def _profile(entries: Sequence[Entry], looks: Mapping[str, tuple[str, str]], stem: Path) -> Saved:
    """Share of chains whose regret is at most so many points (Dolan & More 2002, with differences for ratios)."""
    with styled():
        figure = new_figure(5.4, 3.4)
        axes = figure.subplots()
        for entry in entries:
            regrets = np.sort(100 * np.array(list(entry.regrets.values())))
            share = np.arange(1, len(regrets) + 1) / len(regrets)
            color, line = looks[entry.name]
            axes.step(regrets, share, where="post", color=color, linestyle=line, label=entry.name)
        axes.axvline(0, color=INK, linewidth=0.7)
        axes.set(xlabel="regret, points (left: ahead of the reference)", ylabel="share of chains", ylim=(0, 1.02))
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        return save(figure, stem)


def _curves(
    entries: Sequence[Entry], references: Mapping[str, Reference], looks: Mapping[str, tuple[str, str]], stem: Path
) -> Saved:
    """Report, step by step: thin lines are chains; the dashed line is the reference's end on final."""
    with styled():
        columns = 4
        rows = -(-len(references) // columns)
        figure = new_figure(9.5, 2.0 * rows + 0.6)
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for axes, (regime, reference) in zip(grid, references.items(), strict=False):
            for entry in entries:
                color, line = looks[entry.name]
                own = [c for (r, _), c in entry.cells.items() if r == regime]
                for i, cell in enumerate(own):
                    label = entry.name if i == 0 else None
                    axes.plot(100 * np.array(cell.curve_S), color=color, linestyle=line, linewidth=0.8, label=label)
            axes.axhline(100 * reference.mean, color=MUTED, linestyle="--", linewidth=0.8)
            axes.set_title(regime)
            axes.set_ylim(0, 100)
        for axes in grid[len(references) :]:
            axes.set_axis_off()
        handles = {label: h for a in grid for h, label in zip(*a.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=6)
        return save(figure, stem)
