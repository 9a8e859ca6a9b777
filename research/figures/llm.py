"""The picture of a real language model that rises and collapses, from the curves that `python -m research.llm` writes.

    python -m research.figures.llm docs/llm/h100.csv --out docs/llm/h100

Three lines a panel: a rate at which it learns, one at which it collapses, and the same rate with every step metered.
The bands are two binomial standard errors of one evaluation. Writes OUT.svg, for light pages, and OUT-dark.svg.
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
    "All weights": {
        "whole0.03": "naive, rate 3e-5",
        "whole0.1": "naive, rate 1e-4",
        "whole0.1_meter": "metered, rate 1e-4",
    },
    "LoRA adapters": {"naive1": "naive, rate 1e-3", "naive4": "naive, rate 4e-3", "meter4": "metered, rate 4e-3"},
}


def draw(rows: Sequence[Mapping[str, str]], theme: Mapping[str, str]) -> Any:
    """The figure. Raises InputError for curves without these methods."""
    with styled(theme):
        figure = new_figure(7.2, 2.9)
        for axes, (title, methods) in zip(figure.subplots(1, 2, sharey=True), PANELS.items(), strict=True):
            for (method, label), colour, dashes in zip(
                methods.items(), (PALETTE[1], PALETTE[0], PALETTE[2]), ("-", "--", "-"), strict=True
            ):
                mine = [row for row in rows if row["method"] == method]
                if not mine:
                    raise InputError(f"no curve of {method}")
                steps = np.array([int(row["step"]) for row in mine])
                report = np.array([float(row["report"]) for row in mine])
                error = 2 * np.sqrt(report * (1 - report) / np.array([int(row["samples"]) for row in mine]))
                axes.fill_between(steps, report - error, report + error, color=colour, alpha=0.15, linewidth=0)
                axes.plot(steps, report, dashes, color=colour, label=label)
            axes.set_title(title)
            axes.set_xlabel("REINFORCE step")
            axes.set_xticks(range(0, 13, 2))
            axes.set_ylim(-0.02, 0.75)
            axes.legend(loc="upper left")
        percent_axis(figure.axes[0].yaxis)
        figure.axes[0].set_ylabel("pass@1, problems nobody trained on")
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    return draw_curves("research.figures.llm", __doc__, draw, argv)


if __name__ == "__main__":
    sys.exit(guarded(main))
