"""The picture of the skill testbed from the curves that `python -m research.skill` writes.

    python -m research.figures.skill docs/skill/judged.csv --out docs/skill/judged

pass@1 and pass@16 on problems that nobody trained on: thin lines are seeds, thick ones their mean. Writes OUT.svg and
OUT.pdf.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crestfall.core.entry import guarded, script_parser
from crestfall.core.errors import InputError
from research.figures.style import PALETTE, new_figure, percent_axis, save, styled

PANELS = {"report": "pass@1", "pass_at_16": "pass@16"}
LABELS = {
    "naive": "REINFORCE, rate too high",
    "steady": "REINFORCE, rate that holds",
    "random": "random reward",
    "rejection": "rejection fine-tuning",
    "supervised": "more supervised training",
}


def draw(rows: Sequence[Mapping[str, str]]) -> Any:
    """The figure. Raises InputError where no arm that it draws is there."""
    arms = [arm for arm in LABELS if any(row["method"] == arm for row in rows)]
    if not arms:
        raise InputError(f"no curve of {', '.join(LABELS)}")
    with styled():
        figure = new_figure(7.2, 3.0)
        for axes, (column, title) in zip(figure.subplots(1, 2, sharey=True), PANELS.items(), strict=True):
            for arm, colour in zip(arms, PALETTE, strict=False):
                _lines(axes, [row for row in rows if row["method"] == arm], column, LABELS[arm], colour)
            axes.set_title(title)
            axes.set_xlabel("step")
            axes.set_ylim(0, 1)
        figure.axes[0].legend(loc="upper left")
        figure.axes[0].set_ylabel("problems nobody trained on")
        percent_axis(figure.axes[0].yaxis)
    return figure


def _lines(axes: Any, rows: Sequence[Mapping[str, str]], column: str, label: str, colour: str) -> None:
    by_seed = {
        seed: {int(row["step"]): float(row[column]) for row in rows if row["seed"] == seed}
        for seed in {row["seed"] for row in rows}
    }
    for curve in by_seed.values():
        axes.plot(list(curve), list(curve.values()), color=colour, alpha=0.2, linewidth=0.6)
    steps = sorted(set.intersection(*(set(curve) for curve in by_seed.values())))
    axes.plot(
        steps, [np.mean([curve[step] for curve in by_seed.values()]) for step in steps], color=colour, label=label
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = script_parser("research.figures.skill", __doc__)
    parser.add_argument("curves", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="path without a suffix")
    args = parser.parse_args(argv)
    with args.curves.open(newline="") as file:
        print(save(draw(list(csv.DictReader(file))), args.out).svg)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
