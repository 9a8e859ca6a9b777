"""The page's tables as plain rows: end of chain, campaigns, decisions. The template only writes them down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crestfall.analysis.bootstrap import FEWEST_UNITS, Interval, end_interval
from crestfall.analysis.compare import compare
from crestfall.analysis.measures import measure_campaign
from crestfall.analysis.trajectory import Run, Trajectory
from crestfall.core.text import visible
from crestfall.core.types import Decision, Evaluation
from crestfall.report.groups import Group, ends_by_label, number_of
from crestfall.report.nulls import Noise
from crestfall.report.words import compact, percent, points, with_error

MOST_ROWS = 60
_METHODS = {"studentised": "studentised bootstrap", "percentile": "percentile bootstrap"}


@dataclass(frozen=True)
class EndRow:
    """End of chain of one group: mean, interval where one can be given, and every seed."""

    style: str
    label: str
    seeds: int
    mean: str
    interval: str
    method: str
    coverage: float | None
    each: str
    values: tuple[float, ...]
    base: str
    steps: str


def end_rows(groups: Sequence[Group]) -> list[EndRow]:
    rows, ends = [], ends_by_label(groups)
    for g in groups:
        if g.label not in ends:
            continue
        runs, finals = zip(*ends[g.label], strict=True)
        values = [f.evaluation.pass_at_1 for f in finals]
        bases = [f.evaluation.pass_at_1 for run in runs if (f := run.final(-1, "start"))]
        steps = [sum(int(t.steps_S[-1]) for t in run.campaigns) for run in runs]
        interval = _interval(g, values)
        rows.append(
            EndRow(
                g.style,
                g.label,
                len(values),
                percent(float(np.mean(values)), 1),
                _shown_interval(g, interval, finals[0].evaluation),
                "" if interval is None else interval.method,
                None if interval is None else interval.coverage,
                ", ".join(percent(v, 1) for v in values[:20]) + (" …" if len(values) > 20 else ""),
                tuple(values),
                percent(float(np.mean(bases)), 1) if bases else "–",
                compact(float(np.mean(steps))),
            )
        )
    return rows


def _interval(g: Group, values: Sequence[float]) -> Interval | None:
    """Over seeds, by studentised bootstrap; None below four seeds, where the seeds themselves say more."""
    if len(values) < FEWEST_UNITS:
        return None
    return end_interval(g.runs[0].method, np.array(values))


def _shown_interval(g: Group, interval: Interval | None, first: Evaluation) -> str:
    if interval is not None:
        return f"[{percent(interval.low, 1)}, {percent(interval.high, 1)}]"
    if not g.single:
        return "too few seeds"
    return f"± {points(first.standard_error)} (one standard error, of the samples only)"


def coverage_note(rows: Sequence[EndRow]) -> str:
    """Note on the shown intervals and their measured coverage, by number of seeds."""
    known = {row.seeds: row for row in rows if row.coverage is not None}
    return "; ".join(
        f"{_METHODS.get(row.method, row.method)} over {n} seeds, measured to cover {percent(row.coverage or 0.0)}"
        for n, row in sorted(known.items())
    )


@dataclass(frozen=True)
class ComparisonRow:
    """One method against the baseline, paired by seed."""

    style: str
    label: str
    baseline: str
    difference: str
    interval: str
    gains: str
    claim: str


def comparison_rows(groups: Sequence[Group]) -> list[ComparisonRow]:
    """Every method against the first that the study names, over the seeds that both have finished. Chains that go on
    from another run's weights are left out."""
    groups = [g for g in groups if not any(run.continued for run in g.runs)]
    if not groups:
        return []
    ends = ends_by_label(groups)
    scores = {g.label: {run.seed: f.evaluation.pass_at_1 for run, f in ends.get(g.label, ())} for g in groups}
    baseline, *arms = groups
    paired = {g.label: scores[g.label] for g in arms if len(scores[g.label].keys() & scores[baseline.label].keys()) > 1}
    styles = {g.label: g.style for g in groups}
    return [
        ComparisonRow(
            styles[c.arm],
            c.arm,
            c.baseline,
            points(c.mean_difference),
            _shown_difference(c.interval) if len(c.seeds) >= FEWEST_UNITS else "–",
            f"{c.gains} of {len(c.seeds)}",
            c.claim,
        )
        for c in compare(baseline.label, scores[baseline.label], paired)
    ]


def _shown_difference(interval: Interval) -> str:
    method = _METHODS.get(interval.method, interval.method)
    return f"[{points(interval.low)}, {points(interval.high)}] ({method})"


@dataclass(frozen=True)
class CampaignRow:
    """One campaign of one chain, its numbers as they are printed."""

    style: str
    label: str
    method: str
    seed: int
    campaign: int
    start: str
    peak: str
    peak_step: str
    end: str
    steps: str
    gap: str
    noise: str
    beyond: bool
    collapsed: bool
    kept: str
    stopped_by: str


def campaign_rows(groups: Sequence[Group], noise: Noise) -> list[CampaignRow]:
    return [
        _campaign_row(g, run, curve, noise) for g in groups for run in g.runs for curve in run.campaigns if len(curve)
    ]


def _campaign_row(g: Group, run: Run, curve: Trajectory, noise: Noise) -> CampaignRow:
    m, facts, null = measure_campaign(curve), curve.facts, noise.get(curve.name)
    show = (lambda v: percent(v, 1)) if float(curve.judged_S.min()) >= -1e-9 and m.peak <= 1 else compact
    kept = "–" if facts is None or facts.handed_on_step is None else str(facts.handed_on_step)
    if m.handed_on is not None:
        kept += f" ({show(m.handed_on)})"
    return CampaignRow(
        style=g.style,
        label=g.label,
        method=run.method,
        seed=run.seed,
        campaign=number_of(curve) + 1,
        start=show(m.start),
        peak=show(m.peak),
        peak_step=f"{m.peak_step:,}",
        end=show(m.end),
        steps=f"{m.end_step:,}",
        gap=with_error(m.gap, m.gap_error),
        noise="–" if null is None else f"{points(null.plateau)} · {points(null.flat)}",
        beyond=null is not None and m.gap > null.plateau,
        collapsed=m.collapsed,
        kept=kept,
        stopped_by=visible(facts.stopped_by, 80)
        if facts and facts.stopped_by
        else ("–" if facts is None else "running"),
    )


@dataclass(frozen=True)
class DecisionRow:
    """One decision that changed something, with its evidence as `name value` pairs."""

    style: str
    label: str
    seed: int
    campaign: int
    step: str
    action: str
    target: str
    reason: str
    evidence: tuple[tuple[str, str], ...]


def decision_rows(groups: Sequence[Group]) -> tuple[list[DecisionRow], int]:
    """Stops, rollbacks and changes of how training goes on, in order; and how many more there are than are shown.
    A campaign that used up its budget and kept its last weights decided nothing and is left out."""
    rows = [row for g in groups for run in g.runs for row in _decisions(g, run)]
    return rows[:MOST_ROWS], max(0, len(rows) - MOST_ROWS)


def _decisions(g: Group, run: Run) -> list[DecisionRow]:
    rows = []
    for curve in run.campaigns:
        for step, decision in sorted((curve.facts.decisions if curve.facts else {}).items()):
            if (decision.action != "continue" or decision.changes_training) and not _used_up(curve, step, decision):
                target = "–" if decision.target_step is None else f"step {decision.target_step}"
                reason = visible("; ".join(filter(None, (decision.reason, decision.changes))), 200)
                rows.append(
                    _row(g, run, number_of(curve), str(step), decision.action, target, reason, decision.evidence)
                )
    return sorted(rows, key=lambda row: row.campaign)


def _used_up(curve: Trajectory, step: int, decision: Decision) -> bool:
    """Whether nothing was decided: the budget was used up and the last weights are kept."""
    return curve.facts is not None and step >= curve.facts.budget and decision.target_step in (None, step)


def _row(
    g: Group, run: Run, campaign: int, step: str, action: str, target: str, reason: str, evidence: Mapping[str, Any]
) -> DecisionRow:
    flat = tuple((visible(str(k), 40), told(v)) for k, v in list(evidence.items())[:12])
    return DecisionRow(g.style, g.label, run.seed, campaign + 1, step, visible(action, 40), target, reason, flat)


def told(value: Any) -> str:
    """A piece of evidence, whatever it is."""
    return (
        compact(value) if isinstance(value, int | float) and not isinstance(value, bool) else visible(str(value), 120)
    )
