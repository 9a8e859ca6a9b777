"""Tables about campaigns, pooled over chains: ends by campaign (the paper's Table 1), statistics (11), cliffs (16)."""

from __future__ import annotations

from collections.abc import Callable

from crestfall.analysis.null import AgainstNull, NullComparison
from research.paper.arms import Arm, Results
from research.paper.parts import ARM, PAPER_NOTE, PEAK_RULE, SEEDS, coverage_note, mean, null_span, span
from research.paper.published import published
from research.paper.table import Column, Kind, Table, Value

POOLED = "Intervals resample whole chains, since campaigns of one chain are not independent."


def table01(results: Results) -> Table:
    """Penalties: the score at the end of each of the first three campaigns."""
    known = ["naive", "kl_fixed", "kl_adaptive", "ewc", "care_v2"]
    others = [m for m in results.arms if m.startswith(("kl_", "ewc")) and "+" not in m]
    methods = list(dict.fromkeys([*known[:-1], *others, known[-1]]))
    columns = (
        ARM,
        SEEDS,
        *(Column(f"C{i} {what}", "points") for i in (1, 2, 3) for what in ("peak", "end")),
        Column("collapsed"),
        *(Column(f"paper, C{i} end", "points", "published") for i in (1, 2, 3)),
    )
    rows = []
    for m in methods:
        arm = results.arms.get(m)
        ours = (0, *(None,) * 7) if arm is None else _by_campaign(arm)
        rows.append((m, *ours, *(published(1, m, f"end_{i}", "not stated") for i in (1, 2, 3))))
    foot = (
        f"Means over seeds on report. {PEAK_RULE} Collapsed: campaigns, of all. The paper's campaigns here have 50 "
        "steps, and it does not state the model.",
        PAPER_NOTE,
        results.standing,
    )
    return Table("table01", "Penalties, campaign by campaign", columns, tuple(rows), foot)


def _by_campaign(arm: Arm) -> tuple[Value, ...]:
    cells: list[Value] = [arm.n]
    for i in range(3):
        found = [c.measures.campaigns[i] for c in arm.chains if len(c.measures.campaigns) > i]
        cells += [mean(m.peak for m in found), mean(m.end for m in found)]
    return *cells, f"{sum(m.collapsed for m in arm.campaigns)} of {len(arm.campaigns)}"


def table11(results: Results) -> Table:
    """Peak, end, gap, collapse rate, each beside what it would be if nothing fell, and the bias of selection."""
    columns = (
        ARM,
        SEEDS,
        Column("campaigns", "count"),
        Column("peak as selected", "points"),
        Column("peak", "points"),
        Column("peak if it stayed", "points", "interval"),
        Column("selection bias", "points"),
        Column("end", "points"),
        Column("end if it stayed", "points", "interval"),
        Column("gap", "points"),
        Column("gap 95% interval", "points", "interval"),
        Column("gap if flat", "points", "interval"),
        Column("gap if it stayed", "points", "interval"),
        Column("p", "p"),
        Column("collapse rate", "share"),
        *(Column(f"paper, {name}", "points", "published") for name in ("peak", "end", "gap")),
        Column("paper, collapse rate", "share", "published"),
    )
    rows = [(arm.method, *_statistics(arm)) for arm in results.trained]
    foot = (
        f"{PEAK_RULE} Selection bias: peak as selected less as scored. If flat / if it stayed: central 95% of what the "
        "campaign's own evaluation noise gives a policy that never moved, or rose alike and stayed at its peak; p "
        f"against the latter. {POOLED}",
        coverage_note(arm.pooled("gap") for arm in results.trained),
        PAPER_NOTE,
        results.standing,
    )
    return Table("table11", "Campaign statistics", columns, tuple(rows), foot)


def _statistics(arm: Arm) -> tuple[Value, ...]:
    null = arm.null
    picked, peak = null.peak_as_selected.observed, null.peak.observed
    return (
        *(arm.n, null.campaigns, picked, peak, null_span(null.peak), picked - peak),
        *(null.end.observed, null_span(null.end)),
        *(null.gap.observed, span(arm.pooled("gap")), null_span(null.gap_flat), null_span(null.gap), null.gap.p_value),
        null.collapse_rate.observed,
        *(published(11, arm.method, what) for what in ("peak", "end", "gap", "collapse_rate")),
    )


def table16(results: Results) -> Table:
    """Cliff geometry of the clear falls, beside a gradual fall of the same size."""
    columns = (
        ARM,
        Column("clear falls"),
        *_against_gradual("one-step share", "two"),
        *_against_gradual("onset", "number"),
        *_against_gradual("onset for good", "number"),
        Column("paper, one-step share", "two", "published"),
        Column("paper, onset", "number", "published"),
    )
    rows = [(arm.method, *_cliff(arm)) for arm in results.trained]
    foot = (
        "Over clear falls alone: gaps above three standard errors. If gradual: central 95% of what the same "
        "evaluation noise makes of a straight fall of the same size from the same peak; p: that such a fall shows as "
        "large a number. Onset, largest step: the step after the largest fall; for good: the first from which on the "
        f"score stays 10 points below the peak. {PEAK_RULE} {POOLED}",
        coverage_note(arm.pooled("phase_transition") for arm in results.trained),
        PAPER_NOTE + " Its 20-step campaigns begin to fall at 15.6 by Figure 3(c), at 16.7 by Table 16.",
        results.standing,
    )
    return Table("table16", "Is the fall a cliff?", columns, tuple(rows), foot)


def _against_gradual(name: str, shown: Kind) -> tuple[Column, ...]:
    return (
        Column(name, shown),
        Column(f"{name} 95% interval", shown, "interval"),
        Column(f"{name} if gradual", shown, "interval"),
        Column(f"p of {name}", "p"),
    )


_MEASURES: tuple[tuple[str, Callable[[NullComparison], AgainstNull | None]], ...] = (
    ("phase_transition", lambda null: null.phase_transition),
    ("onset", lambda null: null.onset),
    ("onset_for_good", lambda null: null.onset_for_good),
)


def _cliff(arm: Arm) -> tuple[Value, ...]:
    cells: list[Value] = [f"{arm.null.clear} of {arm.null.campaigns}"]
    for name, of in _MEASURES:
        null = of(arm.null)
        cells += [None] * 4 if null is None else [null.observed, span(arm.pooled(name)), null_span(null), null.p_value]
    return *cells, published(16, arm.method, "phase_transition"), published(16, arm.method, "onset")
