"""Everything that is said of one run: class, levels, intervals, p-value, course of the fall, leads, other curves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from crestfall.analysis.advice.advise import Advice, advise
from crestfall.analysis.advice.case import case_of
from crestfall.analysis.advice.choose import Choice, Smoothed, choose
from crestfall.analysis.advice.saved import saved_beside
from crestfall.analysis.classify import FALLEN, Classification, CurveClass, classify
from crestfall.analysis.course import Course, Peak, course_of, curve_of, peak_of, standard_error
from crestfall.analysis.headline import headline
from crestfall.analysis.importers.metrics import kind_of_evaluation
from crestfall.analysis.leads import Lead, leads_of
from crestfall.analysis.levels import Estimate, Levels, moving_average
from crestfall.analysis.measures import CampaignMeasures, measure_campaign
from crestfall.analysis.noise import FEW
from crestfall.analysis.onset import left_for_good
from crestfall.analysis.scan import SIGNIFICANCE
from crestfall.analysis.trajectory import Curve, Series, Trajectory


@dataclass(frozen=True)
class Judged:
    """Another curve of the same run: an evaluation, the training reward or a part of it."""

    metric: str
    role: str
    classification: Classification
    peak_step: int
    moves: bool
    """Whether the column has more than one value."""

    def to_json(self) -> dict[str, Any]:
        c = self.classification
        numbers = {name: getattr(c.levels, name).value for name in ("start", "peak", "end")}
        return {
            "metric": self.metric,
            "role": self.role,
            "class": c.label,
            **numbers,
            "peak_step": self.peak_step,
            "p_value": c.p_fall,
        }


@dataclass(frozen=True, eq=False)
class Analysis:
    """`levels` are the numbers that every view gives; `measures` the raw ones as the paper defines them. `peak_steps`:
    the first and the last step of those that are as good as the peak. `onset` (where the fall begins), `onset_for_good`
    and `course` are None unless the fall is real (p < 0.05). `others`: the run's other curves, judged alike."""

    trajectory: Trajectory
    measures: CampaignMeasures
    classification: Classification
    levels: Levels
    peak_step: int
    peak_steps: tuple[int, int]
    onset: int | None
    onset_for_good: int | None
    course: Course | None
    leads: tuple[Lead, ...]
    others: tuple[Judged, ...]

    @property
    def headline(self) -> str:
        t = self.trajectory
        curves = [(t.metric, t.role, self.classification.label)]
        said = headline([*curves, *((o.metric, o.role, o.classification.label) for o in self.others)])
        return said if t.broken is None else f"{t.metric} is no number from step {t.broken.step} on; before, {said}"

    @property
    def has_cliff(self) -> bool:
        return self.course is not None and self.course.cliff is not None and self.course.cliff.is_one

    @property
    def cautions(self) -> tuple[str, ...]:
        """Statements that this curve does not support, and what would help."""
        found = []
        t = self.trajectory
        if t.broken is not None:
            found.append(f"from step {t.broken.step} on {t.metric} is NaN or infinite: the class is of steps before")
        if not self.classification.known and len(t) < FEW:
            few = f"{len(t)} points of unknown noise say little"
            found.append(f"{few}: --samples N states how many graded samples are behind each value")
        return tuple(found)

    @cached_property
    def choice(self) -> Choice:
        """The checkpoint beside the log to take. Looks at the disk."""
        t, c = self.trajectory, self.classification
        curve_S, first_S = curve_of(t.judged_S)
        smooth_S = moving_average(curve_S, c.smoothing)
        curve = Smoothed(t.steps_S[first_S], smooth_S, standard_error(c), self.peak_step, self.peak_steps)
        return choose(saved_beside(t.source, None if t.facts is None else t.facts.campaign), curve)

    @cached_property
    def advice(self) -> Advice:
        """The likeliest causes, and what to change."""
        others = [(o.metric, o.role, o.classification) for o in self.others]
        return advise(case_of(self.trajectory, self.classification, self.course, others))

    def to_json(self) -> dict[str, Any]:
        t, m, c = self.trajectory, self.measures, self.classification
        out: dict[str, Any] = {
            "path": str(t.source),
            "name": t.name,
            "metric": t.metric,
            "why": t.why,
            "class": c.label,
            "headline": self.headline,
            "start": self.levels.start.value,
            "peak": self.levels.peak.value,
            "peak_step": self.peak_step,
            "peak_steps": list(self.peak_steps),
            "end": self.levels.end.value,
            "gap": self.levels.fall.value,
            "p_value": c.p_fall,
            "onset": self.onset,
            "leads": {lead.signal: lead.steps for lead in self.leads},
            "steps": len(t),
            "first_step": int(t.steps_S[0]),
            "last_step": m.end_step,
            "rise_p_value": c.p_rise,
            "onset_for_good": self.onset_for_good,
            "cliff": self._cliff_to_json(),
            "fall": self.levels.fall.value,
            "rise": self.levels.rise.value,
            "crash": {"depth": c.crash.depth, "p_value": c.crash.p_value},
            "noise": None if np.isnan(c.noise) else c.noise,
            "noise_known": c.known,
            "autocorrelation": c.correlation,
            "intervals": {
                name: getattr(self.levels, name).interval and list(getattr(self.levels, name).interval)
                for name in ("start", "peak", "end", "rise", "fall")
            },
            "raw": {"start": m.start, "peak": m.peak, "peak_step": m.peak_step, "end": m.end, "gap": m.gap},
            "evaluations": [o.to_json() for o in self.others if o.role == "evaluation"],
            "reward_parts": [o.to_json() for o in self.others if o.role != "evaluation"],
            "signals": sorted(t.signals),
            "checkpoint": self.choice.to_json(),
            "advice": self.advice.to_json(),
            "cautions": list(self.cautions),
            "notes": list(t.notes),
        }
        if t.facts is not None:
            out["campaign"] = t.facts.campaign
        return out

    def _cliff_to_json(self) -> dict[str, float] | None:
        if self.course is None or self.course.cliff is None:
            return None
        cliff = self.course.cliff
        return {"share": cliff.share, "share_of_a_straight_fall": cliff.null_high, "p_value": cliff.p_value}


def analyze(trajectory: Trajectory) -> Analysis:
    """All of it for one run. Of several evaluations the first of those whose class most of them have is the one that
    is shown, unless a metric was asked for. Raises InputError where there is no point."""
    measures = measure_campaign(trajectory)
    c = classify(trajectory.judged_S, trajectory.judged_error_S)
    others = tuple(_judged(metric, curve) for metric, curve in trajectory.others.items())
    if not trajectory.told and (chosen := _typical(c.label, trajectory, others)) is not None:
        return analyze(_judged_by(trajectory, chosen))
    curve_S, first_S = curve_of(trajectory.judged_S)
    steps_S = trajectory.steps_S[first_S]
    peak = peak_of(curve_S, c)
    real = c.p_fall < SIGNIFICANCE and c.label in FALLEN
    course = course_of(curve_S, peak, c) if real else None
    for_good = left_for_good(moving_average(curve_S, c.smoothing), peak.index) if real else None
    levels, peak_index = _levels(trajectory, measures, c, peak)
    return Analysis(
        trajectory=trajectory,
        measures=measures,
        classification=c,
        levels=levels,
        peak_step=int(steps_S[peak_index]),
        peak_steps=(int(steps_S[min(peak.first, peak_index)]), int(steps_S[max(peak.last, peak_index)])),
        onset=None if course is None else int(steps_S[course.began]),
        onset_for_good=None if for_good is None else int(steps_S[for_good]),
        course=course,
        leads=() if course is None else leads_of(trajectory, steps_S, course),
        others=others,
    )


def _judged(metric: str, curve: Curve) -> Judged:
    values_S = curve.series.values_S
    c = classify(values_S, curve.standard_errors_S)
    curve_S, first_S = curve_of(values_S)
    peak_step = int(curve.series.steps_S[first_S[peak_of(curve_S, c).index]])
    return Judged(metric, curve.role, c, peak_step, bool(np.ptp(values_S) > 0))


def _typical(label: CurveClass, trajectory: Trajectory, others: tuple[Judged, ...]) -> str | None:
    """The evaluation of the same kind to show instead; None: the one that was chosen is of their commonest class (of
    two, the worse)."""
    kind = kind_of_evaluation(trajectory.metric)
    alike = [o for o in others if o.role == "evaluation" and kind_of_evaluation(o.metric) == kind and o.moves]
    labels = [label] + [o.classification.label for o in alike]
    if trajectory.role != "evaluation" or len(labels) < 2:
        return None
    common = max(labels, key=lambda one: (labels.count(one), one in FALLEN, one == label))
    if labels.count(common) == labels.count(label) and (label in FALLEN or common not in FALLEN):
        return None
    return next(o.metric for o in alike if o.classification.label == common)


def _judged_by(trajectory: Trajectory, metric: str) -> Trajectory:
    """The same run with another of its evaluations in front."""
    chosen = trajectory.others[metric]
    main = Curve(Series(trajectory.steps_S, trajectory.values_S), trajectory.standard_errors_S, trajectory.role)
    others = {trajectory.metric: main} | {k: curve for k, curve in trajectory.others.items() if k != metric}
    return replace(
        trajectory,
        metric=metric,
        why=f"{trajectory.why.partition(' (also')[0]}, of the class that most evaluations are of",
        steps_S=chosen.series.steps_S,
        values_S=chosen.series.values_S,
        standard_errors_S=chosen.standard_errors_S,
        others=others,
        told=True,
    )


def _levels(t: Trajectory, m: CampaignMeasures, c: Classification, peak: Peak) -> tuple[Levels, int]:
    """Levels of the smoothed curve; in a run with a report set the peak is chosen on select and scored on report."""
    if t.report is None:
        return c.levels, peak.index
    index = int(np.argmax(t.values_S))
    errors_S = [e.standard_error for e in t.report]

    def estimate(value: float, error: float) -> Estimate:
        return Estimate(value, value - 1.96 * error, value + 1.96 * error)

    start, top, end = (estimate(float(t.judged_S[i]), errors_S[i]) for i in (0, index, -1))
    rise = estimate(top.value - start.value, float(np.hypot(errors_S[0], errors_S[index])))
    fall = replace(c.levels.fall, value=m.gap, high=max(c.levels.fall.high, m.gap))
    return Levels(start, top, end, rise, fall), index
