"""One self-contained page from trajectories: no request leaves it, and nothing that a policy wrote can run in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from crestfall.analysis.compare import FEWEST_SEEDS
from crestfall.core.signals import SIGNALS
from crestfall.core.text import visible
from crestfall.report import headline, tables
from crestfall.report.between import between_rows
from crestfall.report.charts.dots import end_chart
from crestfall.report.charts.overlay import overlay_chart
from crestfall.report.charts.panel import PanelAxes, competence_of, panel
from crestfall.report.charts.signals import measured, signal_chart
from crestfall.report.charts.verdicts import has_verdicts, verdict_chart, verdict_class, verdicts_seen
from crestfall.report.foreign import Foreign
from crestfall.report.groups import Group
from crestfall.report.nulls import Noise, null_rows
from crestfall.report.programs import exhibits
from crestfall.report.provenance import Provenance
from crestfall.report.svg import extent
from crestfall.report.template import environment, html_of
from crestfall.report.words import compact

# Beyond so many chains, the single ones are left to their own reports.
MOST_CHAINS = 12


@dataclass(frozen=True)
class Page:
    """Inputs of a page."""

    title: str
    kind: str
    groups: Sequence[Group]
    noise: Noise
    provenance: Provenance
    notes: tuple[str, ...] = ()
    foreign: Foreign | None = None
    links: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """Method and seed -> where that chain's own report is."""


@dataclass(frozen=True)
class Strip:
    """The panels of one group (or one chain) in a row."""

    style: str
    label: str
    remark: str
    panels: tuple[Markup, ...]


def render(page: Page) -> str:
    """The page as HTML."""
    return html_of(environment().get_template("report.html"), page=page, **_sections(page))


def _sections(page: Page) -> dict[str, Any]:
    groups, curves = page.groups, [t for g in page.groups for run in g.runs for t in run.campaigns if len(t)]
    decisions, more_decisions = tables.decision_rows(groups)
    between, more_between = between_rows(groups)
    ends = tables.end_rows(groups)
    bases = [f.evaluation.pass_at_1 for g in groups for run in g.runs if (f := run.base)]
    single = [Group(g.label, (run,), g.style) for g in groups if not g.single for run in g.runs]
    return {
        "chains": page.foreign is None,
        "begun": bool(curves),
        "sentences": _sentences(page, bool(curves)),
        "outcome": headline.end_of_chain(groups),
        "splits": headline.rise_split(groups),
        "strips": _strips(groups, page.noise) if page.foreign is None else [],
        "seed_strips": _strips(single[:MOST_CHAINS], page.noise),
        "overlay": overlay_chart(groups) if len(groups) > 1 else None,
        "detailed": any(g.single for g in groups),
        "more_chains": max(0, len(single) - MOST_CHAINS),
        "columns": max((len(g.campaigns()) for g in groups), default=0),
        "has_competence": any(competence_of(t.report or t.select) for t in curves),
        "has_select": any(t.report is not None for t in curves),
        "ends": ends,
        "end_chart": end_chart(ends, sum(bases) / len(bases) if bases else None) if ends else None,
        "comparisons": tables.comparison_rows(groups),
        "coverage": tables.coverage_note(ends),
        "nulls": null_rows(groups),
        "fewest_seeds": min((row.seeds for row in ends), default=0),
        "enough_seeds": FEWEST_SEEDS,
        "campaigns": tables.campaign_rows(groups, page.noise) if page.foreign is None else [],
        "signals": [(name, SIGNALS[name].meaning, signal_chart(name, groups)) for name in measured(groups)],
        "verdicts": [(v, verdict_class(v)) for v in verdicts_seen(groups)],
        "mixes": [(g, verdict_chart(g, groups)) for g in groups] if has_verdicts(groups) else [],
        "exhibits": exhibits(groups),
        "decisions": decisions,
        "more_decisions": more_decisions,
        "between": between,
        "more_between": more_between,
    }


def _sentences(page: Page, any_curve: bool) -> list[headline.Sentence]:
    if page.foreign is not None:
        return [page.foreign.sentence]
    return headline.headline(page.groups, page.noise) if any_curve else []


def _axes(groups: Sequence[Group]) -> PanelAxes:
    """The same steps and scores in every panel of the page."""
    columns = max(len(g.campaigns()) for g in groups)
    width = {1: 640.0, 2: 540.0, 3: 364.0, 4: 272.0, 5: 222.0}.get(columns, max(90.0, 1092.0 / min(columns, 10) - 4))
    curves = [t for g in groups for run in g.runs for t in run.campaigns if len(t)]
    first = min(int(t.steps_S[0]) for t in curves)
    last = max(max(int(t.steps_S[-1]), t.facts.budget if t.facts else 0) for t in curves)
    values = [float(v) for t in curves for v in t.judged_S]
    values += [
        v for g in groups if g.single for t in g.runs[0].campaigns for v in competence_of(t.report or t.select) or ()
    ]
    if min(values) >= 0 and max(values) <= 1:
        return PanelAxes(width, 0.0, min(1.0, math.ceil(10 * (max(values) + 0.04)) / 10), (first, last))
    low, high = extent(values)
    return PanelAxes(width, low, high, (first, last), compact, "")


def _strips(groups: Sequence[Group], noise: Noise) -> list[Strip]:
    if not groups:
        return []
    axes = _axes(groups)
    return [_strip(g, axes, noise) for g in groups]


def _strip(g: Group, axes: PanelAxes, noise: Noise) -> Strip:
    panels: list[Markup] = []
    for campaign in g.campaigns():
        curves = [t for t in g.curves(campaign) if len(t)]
        title = f"campaign {campaign + 1}" if axes.roomy or not panels else str(campaign + 1)
        if curves[0].facts is None:
            title = visible(curves[0].metric, 60)
        null = noise.get(curves[0].name)
        panels.append(panel(title, curves, axes, null.plateau if null else None))
    remark = f"seed {g.runs[0].seed}" if g.single else f"{len(g.runs)} seeds"
    if g.single and g.runs[0].status not in ("done", "running"):
        remark += f", {g.runs[0].status}"
    return Strip(g.style, g.label, remark, tuple(panels))
