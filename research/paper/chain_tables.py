"""Tables about chains: headline (the paper's Table 6), ablation (4), efficiency (7), collapses (8), GRPO (10, 12)."""

from __future__ import annotations

from crestfall.analysis.bootstrap import proportion_interval
from crestfall.analysis.trajectory import Run
from research.paper.arms import BASE, Arm, Results
from research.paper.parts import (
    ARM,
    BY_SEED,
    END,
    PAIRED,
    PAPER_NOTE,
    PEAK_RULE,
    SEEDS,
    by_seed,
    end_cells,
    mean,
    notes,
    null_span,
    paired_cells,
    span,
)
from research.paper.published import published
from research.paper.table import Column, Table, Value

BY_SCALE = (Column("paper, 7B", "points", "published"), Column("paper, 3B", "points", "published"))


def _by_scale(table: int, method: str) -> tuple[Value, Value]:
    return published(table, method, "end_of_chain", "7B"), published(table, method, "end_of_chain", "3B")


def table04(results: Results) -> Table:
    """Module ablation: does any half of CARE do better than naive?"""
    methods = ("naive", "memory_only", "gate_only", "care_v2", "care_v1")
    arms = {m: results.arms.get(m) for m in methods}
    paired = results.compared("naive", methods)
    triggered = Column("campaigns shortened or slowed", "share")
    unclear = Column("paper, unclear what", "points", "published")
    rows = [
        (m, *end_cells(arm), *paired_cells(paired.get(m)), _interventions(arm), published(4, m, "unclear"))
        for m, arm in arms.items()
    ]
    foot = notes(
        list(arms.values()),
        results.standing,
        "Differences are paired with naive by seed. Shortened or slowed: of the campaigns after the first, the share "
        "that the chain controller gave fewer steps or a lower learning rate.",
    )
    return Table("table04", "Module ablation", (ARM, *END, *PAIRED, triggered, unclear), tuple(rows), foot)


def _interventions(arm: Arm | None) -> float | None:
    chains = [] if arm is None else arm.chains
    return mean(_intervention_rate(chain.run) for chain in chains)


def _intervention_rate(run: Run) -> float | None:
    """None: one campaign, so that nothing could be decided."""
    later, steps = len(run.campaigns) - 1, run.config.get("campaign", {}).get("steps", 0)
    if later < 1:
        return None
    plans = [e for e in run.care if e.get("campaign", 0) > 0]
    held_back = [e for e in plans if e.get("budget", steps) < steps or e.get("learning_rate_scale", 1.0) < 1.0]
    return len(held_back) / later


def table06(results: Results) -> Table:
    """Headline: naive against CARE v2."""
    methods = ("naive", "care_v2")
    arms = {m: results.arms.get(m) for m in methods}
    paired = results.compared("naive", methods)
    rows = [
        (m, *end_cells(arm), by_seed(arm), *paired_cells(paired.get(m)), *_by_scale(6, m)) for m, arm in arms.items()
    ]
    difference = published(6, "care_v2", "difference", "3B")
    assert difference is not None
    assert difference.low is not None
    assert difference.high is not None
    said = (
        f"The paper's paired difference: 7B a tie, 3B a 95% interval of {100 * difference.low:+.1f} to "
        f"{100 * difference.high:+.1f} points."
    )
    foot = notes(list(arms.values()), results.standing, said)
    return Table(
        "table06", "Naive and CARE v2, end of chain", (ARM, *END, BY_SEED, *PAIRED, *BY_SCALE), tuple(rows), foot
    )


def table07(results: Results) -> Table:
    """Efficiency in points per 100 gradient steps, and what is left of it without the base policy's points."""
    columns = (
        ARM,
        SEEDS,
        Column("steps per chain", "number"),
        Column("end of chain", "points"),
        Column("points per 100 steps", "two"),
        Column("gain over base per 100 steps", "two"),
        Column("paper, steps", "count", "published"),
        Column("paper, points per 100 steps", "two", "published"),
    )
    rows = [
        (
            arm.method,
            arm.n,
            arm.steps,
            arm.mean_end,
            mean(c.measures.points_per_100_steps for c in arm.chains),
            mean(1e4 * (c.end - c.base) / c.measures.steps for c in arm.chains if c.measures.steps),
            published(7, arm.method, "steps"),
            published(7, arm.method, "points_per_100_steps"),
        )
        for arm in results.trained
    ]
    foot = (
        "Steps are those taken, not budgets. Points per 100 steps is the paper's measure: it credits an arm with what "
        f"the base policy ({100 * results[BASE].mean_end:.1f}) had before any step, so that few steps look good by "
        "themselves; the gain over base does not.",
        PAPER_NOTE,
        results.standing,
    )
    return Table("table07", "Efficiency", columns, tuple(rows), foot)


def table08(results: Results) -> Table:
    """Number of chains that collapse at least once, of campaigns that do, and of those that would by noise alone."""
    columns = (
        ARM,
        Column("chains", "count"),
        Column("with a collapse", "count"),
        Column("share", "share"),
        Column("exact 95% interval", "share", "interval"),
        Column("share if they stayed", "two"),
        Column("campaigns", "count"),
        Column("collapsed", "count"),
        Column("rate", "share"),
        Column("rate if flat", "two"),
        Column("rate if they stayed", "two"),
        Column("p", "p"),
        Column("paper, share of chains", "share", "published"),
    )
    rows = []
    for arm in results.trained:
        hit = sum(c.measures.collapses > 0 for c in arm.chains)
        exact, null = proportion_interval(hit, arm.n), arm.null
        collapsed = sum(m.collapsed for m in arm.campaigns)
        rate = null.collapse_rate
        # Under the null campaigns are independent: their evaluations are.
        by_noise = 1 - (1 - rate.null_mean) ** (len(arm.campaigns) / arm.n)
        chains = (arm.n, hit, exact.estimate, span(exact), by_noise)
        counts = (*chains, len(arm.campaigns), collapsed, rate.observed)
        nulls = (null.collapse_rate_flat.null_mean, rate.null_mean, rate.p_value)
        rows.append((arm.method, *counts, *nulls, published(8, arm.method, "chains_collapsed")))
    foot = (
        f"A collapse: a campaign ends more than 20 points below its peak. {PEAK_RULE} If they stayed: what evaluation "
        "noise alone makes of a policy that rose alike and stayed at its peak; p: of the rate, against that.",
        PAPER_NOTE,
        results.standing,
    )
    return Table("table08", "Collapse counts", columns, tuple(rows), foot)


def table10(results: Results) -> Table:
    """GRPO: where it ends, and whether it is carryover between campaigns or the lack of a fall inside them."""
    methods = ("naive", "grpo", "grpo+care", "care_v2")
    arms = {m: results.arms.get(m) for m in methods}
    inside = (
        Column("first start", "points"),
        Column("mean start on fresh problems", "points"),
        Column("mean peak", "points"),
        Column("mean end", "points"),
        Column("mean gap", "points"),
        Column("gap if it rose and stayed", "points", "interval"),
    )
    rows = [(m, *end_cells(arm), *_inside(arm), *_by_scale(10, m)) for m, arm in arms.items()]
    foot = notes(
        list(arms.values()),
        results.standing,
        "First start: the base policy on the first campaign's problems, i.e. what a start would be if nothing were "
        f"carried over. {PEAK_RULE}",
    )
    return Table("table10", "GRPO", (ARM, *END, *inside, *BY_SCALE), tuple(rows), foot)


def _inside(arm: Arm | None) -> tuple[Value, ...]:
    if arm is None:
        return (None,) * 6
    m = [chain.measures for chain in arm.chains]
    first = mean(c.campaigns[0].start for c in m)
    means = (mean(c.mean_start for c in m), mean(c.mean_peak for c in m), mean(c.mean_end for c in m))
    return first, *means, mean(c.mean_gap for c in m), null_span(arm.null.gap)


def table12(results: Results) -> Table:
    """GRPO with early stopping: do all seeds improve, or is there a final cliff?"""
    methods = ("grpo", "grpo+es", "es")
    arms = {m: results.arms.get(m) for m in methods}
    counts = (Column("seeds above their base"), Column("last campaigns that collapse"))
    paper = (Column("paper, 7B", "points", "published"), Column("paper, by seed"))
    rows = []
    for m, arm in arms.items():
        seeds = [published(12, m, f"seed_{i}") for i in (1, 2, 3)]
        listed = ", ".join(
            f"{100 * p.value:.1f}{'' if p.tag == 'paper' else '*'}" for p in seeds if p and p.value is not None
        )
        rows.append((m, *end_cells(arm), by_seed(arm), *_cliffs(arm), published(12, m, "end_of_chain"), listed or None))
    foot = notes(list(arms.values()), results.standing, PEAK_RULE)
    return Table("table12", "GRPO with early stopping", (ARM, *END, BY_SEED, *counts, *paper), tuple(rows), foot)


def _cliffs(arm: Arm | None) -> tuple[str | None, str | None]:
    if arm is None:
        return None, None
    up = sum(chain.end > chain.base for chain in arm.chains)
    fallen = sum(chain.measures.campaigns[-1].collapsed for chain in arm.chains)
    return f"{up} of {arm.n}", f"{fallen} of {arm.n}"
