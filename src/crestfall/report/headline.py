"""Summary in sentences, to be read before any chart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crestfall.analysis.measures import CampaignMeasures, measure_campaign, split_rise
from crestfall.analysis.trajectory import Trajectory
from crestfall.report.groups import Group, ends_by_label
from crestfall.report.nulls import GapNoise, Noise
from crestfall.report.words import compact, listed, percent, points, with_error

# A rise or a fall smaller than this many standard errors is not called one.
CLEAR = 2.0


class Strong(str):
    """Words that are set in bold."""


@dataclass(frozen=True)
class Sentence:
    """One statement about one group; the parts that are `Strong` stand out."""

    style: str
    label: str
    parts: tuple[str, ...]


def headline(groups: Sequence[Group], noise: Noise) -> list[Sentence]:
    """One sentence per group on its first campaign, so that no campaign is picked after the fact."""
    return [Sentence(g.style, g.label, tuple(_of_one(g, noise) if g.single else _of_seeds(g, noise))) for g in groups]


def _of_one(g: Group, noise: Noise) -> list[str]:
    curve = g.runs[0].campaigns[0]
    m, show = measure_campaign(curve), formatter(curve)
    if len(curve) == 1:
        return ["has been evaluated once: ", Strong(show(m.start)), "."]
    parts = [*_rise(curve, m, show), *_fall(curve, m, show), *_stop(curve, m, show), ". "]
    return [*parts, *_gap(m, curve, noise.get(curve.name))]


def formatter(curve: Trajectory) -> Callable[[float], str]:
    """Per cent for shares; plain numbers for a foreign metric that is none."""
    share = float(curve.judged_S.min()) >= 0 and float(curve.judged_S.max()) <= 1
    return percent if curve.facts is not None or share else compact


def _rise(curve: Trajectory, m: CampaignMeasures, show: Callable[[float], str]) -> list[str]:
    at = f" at step {m.peak_step:,}"
    if _clear(m.peak - m.start, curve):
        return ["rose from ", Strong(show(m.start)), " to ", Strong(show(m.peak)), at]
    if m.peak_step == int(curve.steps_S[0]):
        return ["did not rise from its start at ", Strong(show(m.start))]
    return ["did not clearly rise: ", Strong(show(m.start)), " at the start, ", Strong(show(m.peak)), at]


def _fall(curve: Trajectory, m: CampaignMeasures, show: Callable[[float], str]) -> list[str]:
    if m.end_step == m.peak_step:
        return []
    if _clear(m.gap, curve):
        return [" and then ", Strong(f"fell to {show(m.end)}"), f" by step {m.end_step:,}"]
    return [" and stood at ", Strong(show(m.end)), f" at step {m.end_step:,}"]


def _stop(curve: Trajectory, m: CampaignMeasures, show: Callable[[float], str]) -> list[str]:
    facts, parts = curve.facts, list[str]()
    if facts is None:
        return parts
    if facts.stopped_by is not None and m.end_step < facts.budget:
        parts += [", where it was ", Strong("stopped"), f" (budget: {facts.budget} steps)"]
    if m.handed_on is not None and facts.handed_on_step != m.end_step:
        parts += ["; final weights: ", Strong(f"step {facts.handed_on_step}"), f", {show(m.handed_on)}"]
    return parts


def _gap(m: CampaignMeasures, curve: Trajectory, noise: GapNoise | None) -> list[str]:
    if m.end_step == m.peak_step:
        return []
    if formatter(curve) is compact:
        return ["Peak minus end: ", Strong(compact(m.gap)), "."]
    parts = ["Peak minus end: ", Strong(f"{with_error(m.gap, m.gap_error)} points")]
    if m.gap_error is not None:
        parts.append(" (± one standard error)")
    if noise is None:
        return [*parts, "."]
    verdict = Strong("beyond noise" if m.gap > noise.plateau else "within noise")
    meaning = f": a curve that rises alike and then holds shows {points(noise.plateau)} or less 95 times in 100."
    return [*parts, ", ", verdict, meaning]


def _of_seeds(g: Group, noise: Noise) -> list[str]:
    """Over seeds: means, and on how many the first campaign collapsed and fell by more than noise does."""
    first = [run.campaigns[0] for run in g.runs if run.campaigns]
    measures = [measure_campaign(curve) for curve in first]
    n = len(measures)
    start, peak, end, gap = (sum(getattr(m, name) for m in measures) / n for name in ("start", "peak", "end", "gap"))
    went = "rose" if peak > start else "went"
    parts = [f"({n} seeds), on average, {went} from ", Strong(percent(start)), " to ", Strong(percent(peak))]
    parts += [" at the peak and ended at ", Strong(percent(end)), ". Mean gap ", Strong(f"{points(gap)} points")]
    parts += ["; above 20 on ", Strong(f"{sum(m.collapsed for m in measures)} of {n}"), " seeds"]
    nulls = [noise[curve.name].plateau for curve in first if curve.name in noise]
    if len(nulls) == n:
        beyond = sum(m.gap > null for m, null in zip(measures, nulls, strict=True))
        parts += [", on ", Strong(f"{beyond} of {n}"), " above what noise alone does 95 times in 100"]
    kept = [m.handed_on for m in measures if m.handed_on is not None]
    if len(kept) == n and abs(sum(kept) / n - end) > 1e-9:
        parts += [". The final weights score ", Strong(percent(sum(kept) / n))]
    return [*parts, "."]


def _clear(difference: float, curve: Trajectory) -> bool:
    """Whether a difference of two points of the curve exceeds its noise, as far as that is known."""
    errors = curve.judged_error_S
    error = float(errors.max()) * 2**0.5 if errors is not None and len(errors) else 0.0
    return difference > max(CLEAR * error, 1e-9)


def end_of_chain(groups: Sequence[Group]) -> list[str]:
    """The comparison on the final set, for chains that have been evaluated there, in parts as of a `Sentence`."""
    ends = ends_by_label(groups)
    if not ends:
        return []
    scores = {label: [f.evaluation.pass_at_1 for _, f in found] for label, found in ends.items()}
    known = [f"{label} at {percent(sum(s) / len(s))}" for label, s in scores.items()]
    bases = [f.evaluation.pass_at_1 for g in groups for run in g.runs if (f := run.base)]
    base = f", from a base policy at {percent(sum(bases) / len(bases))}" if bases else ""
    campaigns = max(f.campaign + 1 for found in ends.values() for _, f in found)
    after = f"After {campaigns} campaign{'s' if campaigns > 1 else ''}, on final problems that no decision has seen: "
    return [after, Strong(listed(known)), base + "."]


def rise_split(groups: Sequence[Group]) -> list[str]:
    """Split of the rise in the first campaign, if there is one, into competence and answer style;
    means over all seeds. [] where it was not measured."""
    out: list[str] = []
    for g in groups:
        first = [run.campaigns[0] for run in g.runs if run.campaigns]
        splits = [split for curve in first if (split := split_rise(curve))]
        if not splits:
            continue
        rise, competence, convention = (
            sum(getattr(s, name) for s in splits) / len(splits) for name in ("rise", "competence", "convention")
        )
        if _clear(rise, first[0]):
            out.append(
                f"{g.label}: of {points(rise)} points of rise, {points(competence)} are competence (more programs "
                f"compute the right values) and {points(convention)} conventions (right values, now also in the "
                "accepted form)."
            )
    return out
