"""The figures: after the paper's Figures 1 and 3, the oracle decomposition, and the intervals of every method."""

from __future__ import annotations

from pathlib import Path

from research import figures
from research.figures.style import Saved
from research.paper.arms import BASE, Results
from research.paper.parts import coverage_note

ALIGNED = ("naive", "care_v2", "es", "grpo", "grpo+es")
"""The arms that carry the claims: more do not fit beside each other on a page."""


def draw(results: Results, out: Path) -> list[Saved]:
    """Raises MissingExtraError without matplotlib."""
    runs = {arm.method: [chain.run for chain in arm.chains] for arm in results.trained}
    shown = {m: runs[m] for m in ALIGNED if m in runs} or dict(list(runs.items())[:5])
    first = next(iter(shown.values()))[0]  # nobody picked it: the first arm's first seed
    ends = {
        arm.method: figures.Interval(
            arm.mean_end,
            arm.interval.low if arm.interval else None,
            arm.interval.high if arm.interval else None,
            tuple(arm.ends.values()),
        )
        for arm in results.trained
    }
    note = coverage_note(arm.interval for arm in results.trained)
    drawn = {
        "figure1": figures.single_run(first.campaigns[0], f"{first.method}, seed {first.seed}, campaign 1"),
        "figure3": figures.aligned(shown, figures.onsets_under_null(shown)),
        "oracles": figures.oracles(runs),
        "intervals": figures.intervals(ends, results[BASE].mean_end, note),
    }
    return [figures.save(figure, out / name) for name, figure in drawn.items()]
