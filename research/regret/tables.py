"""The tables of the regret benchmark: who lost how much, where, at what cost, and against whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median

import numpy as np

from crestfall.analysis.bootstrap import FEWEST_UNITS, mean_interval
from crestfall.analysis.compare import holm, sign_flip_p_value
from crestfall.core.rng import stream
from research.paper.table import Column, Table, Value
from research.regret.cells import Cell
from research.regret.scores import Entry, Reference, percentile90

CLOSE = 0.05
"""An intervention is called false where the untouched run of the same seed ends within this of the reference."""
REACHED = 0.9


def score(entries: Sequence[Entry], references: Mapping[str, Reference]) -> Table:
    """The leaderboard: complete entries first, the least worst regime first."""
    naive = next((e for e in entries if e.name == "naive"), None)
    rows = [_score_row(entry, references, naive) for entry in entries]
    columns = (
        *(Column("method"), Column("regimes", "count"), Column("chains", "count")),
        *(Column("worst regime", "points"), Column("which")),
        *(Column("mean", "points"), Column("95%", "points", "interval"), Column("90th percentile", "points")),
        *(Column("competence", "points"), Column("reached 90%", "share"), Column("median step", "count")),
        *(Column("false interventions"), Column("rollouts", "count"), Column("samples looked at", "count")),
    )
    notes = (
        "Regret: points on the final set by which the regime's reference ends above the method, on the same seed; "
        "below 0 the method is ahead. Worst regime and mean: of the regimes' means over seeds (the worst of several "
        "noisy means is too high for every method alike). 90th percentile: over chains. 95%: of the mean over regimes, "
        f"seeds as units, from {FEWEST_UNITS} seeds on. Competence: what it gains from start to end. Reached 90%: "
        "share of the chains whose curve on report comes within 90% of the reference's end, and the median step at "
        "which it does. False interventions: chains in which the method stopped, went back or cut the rate though the "
        f"untouched run of the same seed ends within {100 * CLOSE:.0f} points of the reference, of all such chains. "
        "Costs are means over chains.",
    )
    return Table("score", "Regret of controllers, points", columns, tuple(rows), notes)


def _score_row(entry: Entry, references: Mapping[str, Reference], naive: Entry | None) -> tuple[Value, ...]:
    means = entry.by_regime()
    worst = max(means, key=lambda r: means[r])
    per_seed = entry.per_seed()
    interval: Value = None
    if len(per_seed) >= FEWEST_UNITS:
        found = mean_interval(per_seed, stream("regret", entry.name))
        interval = (found.low, found.high)
    cells = list(entry.cells.values())
    steps = [_step_to(c, REACHED * references[c.regime].mean) for c in cells]
    reached = [s for s in steps if s is not None]
    gains = [gain for gain in map(entry.arm.gain, cells) if gain is not None]
    return (
        *(entry.name, len(means), len(cells)),
        *(means[worst], worst),
        *(fmean(means.values()), interval, percentile90(list(entry.regrets.values()))),
        *(fmean(gains) if gains else None, len(reached) / len(cells), median(reached) if reached else None),
        *(_false(entry, references, naive), fmean(c.rollouts for c in cells), fmean(c.looked_at for c in cells)),
    )


def _step_to(cell: Cell, level: float) -> int | None:
    return next((step for step, value in enumerate(cell.curve_S) if value >= level), None)


def _false(entry: Entry, references: Mapping[str, Reference], naive: Entry | None) -> Value:
    if naive is None:
        return None
    calm = [k for k in entry.cells if k in naive.regrets and naive.regrets[k] <= CLOSE]
    return f"{sum(entry.cells[k].interventions > 0 for k in calm)} of {len(calm)}" if calm else None


def by_regime(entries: Sequence[Entry], references: Mapping[str, Reference]) -> Table:
    columns = (
        *(Column("regime"), Column("reference"), Column("its end", "points"), Column("start", "points")),
        *(Column(entry.name, "points") for entry in entries),
    )
    rows = []
    for regime, reference in references.items():
        starts = [c.start for e in entries for c in e.cells.values() if c.regime == regime]
        row: list[Value] = [regime, reference.arm.name, reference.mean, fmean(starts) if starts else None]
        rows.append((*row, *(entry.by_regime().get(regime) for entry in entries)))
    seeds = sorted({s for r in references.values() for s in r.chosen_on})
    chosen_on = ", ".join(map(str, seeds))
    notes = (f"Mean regret over seeds. References were chosen on seeds that score nothing: {chosen_on}.",)
    return Table("regimes", "Regret by regime, points", columns, tuple(rows), notes)


def ends(entries: Sequence[Entry]) -> Table:
    """Every chain: what programs read."""
    columns = (
        *(Column("method"), Column("regime"), Column("seed", "count"), Column("end", "points")),
        *(Column("regret", "points"), Column("competence at start", "points"), Column("competence", "points")),
        *(Column("interventions", "count"), Column("rollouts", "count"), Column("samples looked at", "count")),
    )
    rows = [
        (
            *(e.name, r, s, end, e.regrets[r, s], c.start_competence, e.arm.competence(c)),
            *(c.interventions, c.rollouts, c.looked_at),
        )
        for e in entries
        for (r, s), end in e.ends.items()
        for c in [e.cells[r, s]]
    ]
    return Table("ends", "Every chain", columns, tuple(rows))


def pairs(entries: Sequence[Entry]) -> Table:
    """Every complete entry against the first one, over the regimes that both have."""
    first, *others = entries
    rows, p_values = [], []
    for other in others:
        gains = np.array(list(first.above(other).values()))
        p_values.append(sign_flip_p_value(gains))
        rows.append(
            (first.name, other.name, len(gains), float(gains.mean()), f"{int((gains > 0).sum())} of {len(gains)}")
        )
    adjusted = holm(p_values) if p_values else []
    columns = (
        *(Column("method"), Column("against"), Column("regimes", "count"), Column("ends above it by", "points")),
        *(Column("regimes won"), Column("p-value", "p"), Column("Holm", "p")),
    )
    filled = tuple((*row, p, h) for row, p, h in zip(rows, p_values, adjusted, strict=True))
    units = "Regimes are the units (means over the seeds that both have)"
    notes = (f"{units}: exact sign-flip test, two-sided, Holm over the rows.",)
    return Table("pairs", "The first of the table against the others", columns, filled, notes)
