"""The picture of the skill testbed from the curves that `python -m research.skill` writes.

    python -m research.figures.skill docs/skill/judged.csv --out docs/skill/judged

pass@1 on problems that nobody trained on: thin lines are seeds, thick ones their mean. A line ends where a seed was
stopped. Writes OUT.svg, for light pages, and OUT-dark.svg.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crestfall.core.entry import guarded
from crestfall.core.errors import InputError
from research.figures.style import PALETTE, draw_curves, new_figure, percent_axis, styled

PANELS: Mapping[str, Mapping[str, str]] = {
    "A rate that grows too high": {
        "faster": "REINFORCE",
        "es": "stopped at its peak",
        "metered": "every step at one size",
    },
    "A rate that holds": {
        "steady": "REINFORCE",
        "rejection": "rejection fine-tuning",
        "supervised": "more supervised training",
        "random": "random reward",
    },
}


def draw(rows: Sequence[Mapping[str, str]], theme: Mapping[str, str]) -> Any:
    """The figure. Raises InputError where no arm that it draws is there."""
    found = {row["method"] for row in rows}
    if not found & {arm for arms in PANELS.values() for arm in arms}:
        raise InputError(f"no curve of {', '.join(arm for arms in PANELS.values() for arm in arms)}")
    with styled(theme):
        figure = new_figure(7.2, 2.9)
        for axes, (title, arms) in zip(figure.subplots(1, 2, sharey=True), PANELS.items(), strict=True):
            for (arm, label), colour in zip(
                arms.items(), (PALETTE[0], PALETTE[1], PALETTE[2], PALETTE[7]), strict=False
            ):
                if arm in found:
                    _lines(axes, [row for row in rows if row["method"] == arm], label, colour)
            axes.set_title(title)
            axes.set_xlabel("REINFORCE step")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.set_ylim(0, 1.05)
            if axes.get_lines():
                axes.legend(loc="upper left", ncols=2)
        figure.axes[0].set_ylabel("pass@1, problems nobody trained on")
        percent_axis(figure.axes[0].yaxis)
    return figure


def _lines(axes: Any, rows: Sequence[Mapping[str, str]], label: str, colour: str) -> None:
    by_seed = {
        seed: {int(row["step"]): float(row["report"]) for row in rows if row["seed"] == seed}
        for seed in {row["seed"] for row in rows}
    }
    for curve in by_seed.values():
        axes.plot(list(curve), list(curve.values()), color=colour, alpha=0.3, linewidth=0.6)
    steps = sorted(set.intersection(*(set(curve) for curve in by_seed.values())))
    axes.plot(
        steps, [np.mean([curve[step] for curve in by_seed.values()]) for step in steps], color=colour, label=label
    )


def main(argv: Sequence[str] | None = None) -> int:
    return draw_curves("research.figures.skill", __doc__, draw, argv)


if __name__ == "__main__":
    sys.exit(guarded(main))
