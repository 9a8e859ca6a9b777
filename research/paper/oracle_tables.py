"""Early stopping as deployed (the paper's Table 9), and what was to be had: the rule applied afterwards, oracles."""

from __future__ import annotations

from crestfall.analysis.null import AgainstNull
from crestfall.control.early_stop import EarlyStop
from crestfall.core.rng import stream
from research.paper.arms import Arm, Results
from research.paper.oracle import Oracle, stopped_oracle
from research.paper.oracle_null import oracles_against_null
from research.paper.parts import (
    ARM,
    BY_SEED,
    END,
    PAIRED,
    PAPER_NOTE,
    SEEDS,
    by_seed,
    end_cells,
    mean,
    notes,
    paired_cells,
)
from research.paper.published import published
from research.paper.table import Column, Table, Value


def table09(results: Results) -> Table:
    """Early stopping, every reading of it, as it ran."""
    early = [m for m in results.arms if m.startswith("es")]
    methods = list(dict.fromkeys(["naive", "es", *early]))
    arms = {m: results.arms.get(m) for m in methods}
    paired = results.compared("naive", methods)
    steps = Column("steps per chain", "number")
    paper = (Column("paper, 7B", "points", "published"), Column("paper, steps", "count", "published"))
    rows = [
        (
            *(m, *end_cells(arm), by_seed(arm), None if arm is None else arm.steps, *paired_cells(paired.get(m))),
            *(published(9, m, "end_of_chain"), published(9, m, "steps")),
        )
        for m, arm in arms.items()
    ]
    foot = notes(list(arms.values()), results.standing, "Differences are paired with naive by seed.")
    return Table("table09", "Early stopping", (ARM, *END, BY_SEED, steps, *PAIRED, *paper), tuple(rows), foot)


def table09_oracles(results: Results) -> Table:
    """Oracles on every arm's own traces, as picked and as scored, beside a chain in which nothing moved."""
    columns = (
        Column("traces of"),
        SEEDS,
        Column("mean end", "points"),
        Column("early stop applied afterwards", "points"),
        *_both("trace oracle"),
        *_both("hindsight oracle"),
        Column("paper, trace oracle", "points", "published"),
    )
    rows = [(arm.method, *_oracles(arm)) for arm in results.trained]
    hindsight = published(9, "any", "hindsight_oracle")
    assert hindsight is not None
    assert hindsight.low is not None
    assert hindsight.high is not None
    foot = (
        "Picked: the maximum on select itself, biased upwards. Scored: the same step on report. If flat: what the "
        "scored oracle would read, central 95%, had every campaign stayed at its own mean. Early stop afterwards: "
        "patience 3 on the trace, scored; the paper describes its trace oracle so, and its number is that of the mean "
        "peak.",
        f"Paper: hindsight {100 * hindsight.low:.1f} to {100 * hindsight.high:.1f}. {PAPER_NOTE}",
        results.standing,
    )
    return Table("table09_oracles", "Oracles: what perfect stopping would gain", columns, tuple(rows), foot)


def _both(name: str) -> tuple[Column, ...]:
    return (
        Column(f"{name}, picked", "points"),
        Column(f"{name}, picked, if flat", "points", "interval"),
        Column(f"{name}, scored", "points"),
        Column(f"{name}, scored, if flat", "points", "interval"),
    )


def _oracles(arm: Arm) -> tuple[Value, ...]:
    chains = [chain.run.campaigns for chain in arm.chains]
    null = oracles_against_null(chains, stream("paper", "oracles", arm.method))
    afterwards = mean(_scored(stopped_oracle(campaigns, EarlyStop())) for campaigns in chains)
    return (
        *(arm.n, mean(chain.measures.mean_end for chain in arm.chains), afterwards),
        *_cells(null.trace_picked),
        *_cells(null.trace_scored),
        *_cells(null.hindsight_picked),
        *_cells(null.hindsight_scored),
        published(9, arm.method, "trace_oracle"),
    )


def _cells(null: AgainstNull) -> tuple[Value, Value]:
    return null.observed, (null.null_low, null.null_high)


def _scored(oracle: Oracle) -> float:
    return oracle.picked if oracle.scored is None else oracle.scored
