"""The table that fits into a README: worst regime, mean and 90th percentile of some methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from research.paper.table import Column, Table
from research.regret.scores import Entry, Reference, percentile90

MOST = 8


def short(entries: Sequence[Entry], references: Mapping[str, Reference]) -> Table:
    """The methods that were run in every regime, the least worst regime first."""
    complete = [entry for entry in entries if set(entry.regimes) == set(references)][:MOST]
    rows = []
    for entry in complete:
        means = entry.by_regime()
        rows.append(
            (entry.name, max(means.values()), fmean(means.values()), percentile90(list(entry.regrets.values())))
        )
    columns = (
        *(Column("method"), Column("worst regime", "points"), Column("mean", "points")),
        Column("90th percentile of chains", "points"),
    )
    seeds = sorted({seed for entry in complete for seed in entry.seeds()})
    chains = f"{len(references)} regimes x {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}"
    title = f"Points lost to the best choice in hindsight, {chains}"
    return Table("table", title, columns, tuple(rows))
