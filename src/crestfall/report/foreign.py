"""The page of one imported run: what kind of curve it is, how sure that is, and what its companions did before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from crestfall.analysis.analyze import Analysis
from crestfall.analysis.headline import words_for
from crestfall.analysis.leads import REPLICATES as LEAD_REPLICATES
from crestfall.analysis.scan import REPLICATES
from crestfall.core.text import visible
from crestfall.report.charts.curve import curve_chart
from crestfall.report.headline import Sentence, Strong, formatter
from crestfall.report.words import compact, listed, p_value


@dataclass(frozen=True)
class LeadRow:
    """When a companion's course broke, against the onset of the fall."""

    signal: str
    lead: str
    broke_at: str
    before: str
    after: str
    p_value: str


@dataclass(frozen=True)
class CauseRow:
    """A cause with what speaks for it."""

    title: str
    evidence: tuple[str, ...]
    source: str
    refuted_by: str
    change: str


@dataclass(frozen=True)
class Foreign:
    """Parts of the page of an imported run that pages of the testbed's runs do not have."""

    sentence: Sentence
    chart: Markup
    leads: tuple[LeadRow, ...]
    take: tuple[str, ...]
    """Advice on the saved checkpoint to take, and the others that are as good."""
    says: str
    causes: tuple[CauseRow, ...]
    untested: str


def foreign_section(analysis: Analysis) -> Foreign:
    show = formatter(analysis.trajectory)
    leads = tuple(
        LeadRow(
            lead.signal.replace("_", " "),
            f"{lead.steps:,} steps before" if lead.steps > 0 else f"{-lead.steps:,} steps after",
            f"{lead.broke_at:,}",
            compact(lead.before),
            compact(lead.after),
            p_value(lead.p_value, LEAD_REPLICATES),
        )
        for lead in analysis.leads
    )
    advice = analysis.advice
    causes = tuple(
        CauseRow(
            s.cause.title,
            tuple(visible(e.text, 300) for e in s.evidence),
            s.cause.source,
            s.cause.refuted_by,
            s.cause.change,
        )
        for s in advice.suspects
    )
    take = tuple(visible(line, 300) for line in analysis.choice.lines())
    untested = listed([c.title.partition(":")[0] for c in advice.untested]) if advice.untested else ""
    return Foreign(
        _sentence(analysis, show), curve_chart(analysis, show), leads, take, visible(advice.says, 300), causes, untested
    )


def _sentence(analysis: Analysis, show: Callable[[float], str]) -> Sentence:
    def level(name: str) -> list[str]:
        level = getattr(analysis.levels, name)
        known = level.interval is not None
        return [Strong(show(level.value)), f" [{show(level.low)}, {show(level.high)}]" if known else ""]

    c = analysis.classification
    parts: list[str] = [
        Strong(words_for(c.label)),
        f", measured by {visible(analysis.trajectory.metric, 80)}. It starts at ",
    ]
    parts += [*level("start"), ", peaks at ", *level("peak"), " and ends at ", *level("end")]
    if analysis.levels.fall.interval is None:
        parts += [". Its noise is not known, so the fall cannot be tested"]
    else:
        parts += [
            ". The fall has a ",
            Strong(f"p-value {p_value(c.p_fall, REPLICATES)}"),
            " against a curve that rises alike and then holds, with this curve's own noise",
        ]
    if analysis.onset is not None:
        parts += ["; it begins at ", Strong(f"step {analysis.onset:,}")]
    first, last = analysis.peak_steps
    if first < last:
        parts += [f". Steps {first:,} to {last:,} are as good as the peak"]
    if analysis.others:
        parts += [f". Of all its curves: {visible(analysis.headline, 200)}"]
    for caution in analysis.cautions:
        parts += [f". {visible(caution, 200)}"]
    return Sentence(
        "m0", visible(analysis.trajectory.name, 60), (*parts, ". Brackets: 95% intervals of the smoothed curve.")
    )
