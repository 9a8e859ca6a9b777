"""Columns and cells that several tables share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from crestfall.analysis.bootstrap import FEWEST_UNITS, Interval
from crestfall.analysis.compare import FEWEST_SEEDS, Comparison
from crestfall.analysis.null import AgainstNull
from research.paper.arms import Arm
from research.paper.table import Column, Value

ARM = Column("arm")
SEEDS = Column("seeds", "count")
END = (SEEDS, Column("end of chain", "points"), Column("95% interval", "points", "interval"))
BY_SEED = Column("by seed")
PAIRED = (
    Column("paired difference", "points"),
    Column("difference 95% interval", "points", "interval"),
    Column("seeds up"),
    Column("conclusion"),
)
PEAK_RULE = "Peaks are chosen on select and scored on report."
PAPER_NOTE = "Paper: arXiv 2606.21090, as printed; – not known; * follows from what it printed."


def end_cells(arm: Arm | None) -> tuple[Value, ...]:
    """For `END`; an arm without a finished chain has no seeds and no numbers."""
    return (0, None, None) if arm is None else (arm.n, arm.mean_end, span(arm.interval))


def by_seed(arm: Arm | None) -> Value:
    return None if arm is None else ", ".join(f"{100 * end:.1f}" for end in arm.ends.values())


def paired_cells(c: Comparison | None) -> tuple[Value, ...]:
    """For `PAIRED`. Below four pairs an interval would be the range: none is given."""
    if c is None:
        return (None,) * len(PAIRED)
    interval = span(c.interval) if len(c.seeds) >= FEWEST_UNITS else None
    return c.mean_difference, interval, f"{c.gains} of {len(c.seeds)}", c.claim


def family_note(comparisons: Iterable[Comparison]) -> str:
    """Note on the least p-value that so many arms and seeds can reach: Holm multiplies it by the number of arms."""
    claimed = [c for c in comparisons if c.significance_possible]
    if not claimed:
        return f"No claim of significance is possible: no pair of arms shares {FEWEST_SEEDS} seeds."
    seeds = max(len(c.seeds) for c in claimed)
    least = min(1.0, len(claimed) * 2.0 / 2**seeds)
    family = f"Holm over the {len(claimed)} arms with enough seeds"
    return f"{family}: the smallest p-value that it can leave at {seeds} seeds is {least:.3f}."


def span(interval: Interval | None) -> tuple[float, float] | None:
    return None if interval is None else (interval.low, interval.high)


def null_span(null: AgainstNull | None) -> tuple[float, float] | None:
    return None if null is None else (null.null_low, null.null_high)


def mean(values: Iterable[float | None]) -> float | None:
    """Over what is known; None: nothing is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def coverage_note(intervals: Iterable[Interval | None]) -> str:
    """Note on the actual coverage of a table's intervals."""
    known: dict[tuple[str, int], float] = {}
    for interval in intervals:
        if interval is not None and interval.coverage is not None:
            known[interval.method, interval.units] = interval.coverage
    if not known:
        return "No intervals: they are given from four seeds on."
    shown = "; ".join(f"{method}, {units} seeds: {c:.2f}" for (method, units), c in sorted(known.items()))
    return f"Nominal 95% intervals over seeds, with the coverage measured by simulation: {shown}."


def notes(arms: Sequence[Arm | None], standing: str, *more: str, paper: bool = True) -> tuple[str, ...]:
    """The foot of a table about ends of chains."""
    intervals = coverage_note(arm.interval for arm in arms if arm is not None)
    return tuple(note for note in (*more, intervals, PAPER_NOTE if paper else "", standing) if note)
