"""One campaign of one method: its curve with peak, stop, rollbacks and handed-on point, or its seeds and their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from crestfall.analysis.measures import CampaignMeasures, measure_campaign
from crestfall.analysis.trajectory import Rollback, Trajectory
from crestfall.core.text import visible
from crestfall.core.types import Evaluation
from crestfall.report.charts.axis import Format, Frame, Readings, thinned
from crestfall.report.svg import Scale, area, element, group, line, number, polyline, text
from crestfall.report.words import percent


@dataclass(frozen=True)
class PanelAxes:
    """Axes that the panels of one page share, so that they can be compared by eye."""

    width: float
    low: float
    high: float
    steps: tuple[int, int]
    format: Format = percent
    unit: str = "%"

    @property
    def roomy(self) -> bool:
        """Wide enough for numbers beside the marks; else the labels of y hang out of a row's first panel."""
        return self.width >= 220


def panel(title: str, curves: Sequence[Trajectory], axes: PanelAxes, noise: float | None = None) -> Markup:
    """One curve in full detail, or several seeds as thin lines under their mean.

    `noise`: the 95% quantile of the gap under the plateau null; drawn below the peak, from the peak on.
    """
    left, right = (38, 8) if axes.roomy else (2, 4)
    frame = Frame(axes.width, 150 + min(110, axes.width * 0.24), left, right)
    x, y = frame.x(*axes.steps), frame.y(axes.low, axes.high)
    base = frame.x_axis(x, 4 if axes.roomy else 2, first=axes.roomy)
    parts = [frame.y_axis(y, axes.format), base, text(frame.left, 12, title, "head")]
    parts += _detail(curves[0], x, y, axes, noise) if len(curves) == 1 else _seeds(curves, x, y)
    readings = _reading_one(curves[0], x, axes.unit) if len(curves) == 1 else _reading_seeds(curves, x, axes.unit)
    return frame.svg(parts, f"{title}: {_described(curves, axes)}", readings)


def _points(
    trajectory: Trajectory, values: Sequence[float] | np.ndarray, x: Scale, y: Scale
) -> list[tuple[float, float]]:
    return [(x(float(trajectory.steps_S[i])), y(float(values[i]))) for i in thinned(len(trajectory))]


def _detail(trajectory: Trajectory, x: Scale, y: Scale, axes: PanelAxes, noise: float | None) -> list[Markup]:
    measures = measure_campaign(trajectory)
    judged = trajectory.judged_S
    parts = [_noise_band(measures, x, y, noise)] if noise is not None else []
    parts += _competence(trajectory, x, y)
    if trajectory.report is not None:
        parts.append(polyline(_points(trajectory, trajectory.values_S, x, y), "select"))
    parts += _line_with_breaks(trajectory, x, y)
    parts += [_rollback(rollback.step, rollback.target_step, x, y) for rollback in _rollbacks(trajectory)]
    parts += _unused_budget(trajectory, measures, x, y)
    parts.append(_handed_on(trajectory, measures, x, y))
    parts.append(peak_mark(x(measures.peak_step), y(measures.peak)))
    if axes.roomy:
        parts += _labels(measures, x, y, axes.format)
    return [*parts, group([_dot(x(int(trajectory.steps_S[-1])), y(float(judged[-1])))])]


def _competence(trajectory: Trajectory, x: Scale, y: Scale) -> list[Markup]:
    """The line of right values under any answering convention; the surface below it down to pass@1 is convention."""
    shares = competence_of(trajectory.report or trajectory.select)
    if shares is None:
        return []
    upper, lower = _points(trajectory, shares, x, y), _points(trajectory, trajectory.judged_S, x, y)
    return [area(upper, lower, "convention"), polyline(upper, "competence")]


def competence_of(evaluations: Sequence[Evaluation] | None) -> list[float] | None:
    """Competence at every step; None where it was not measured at one of them."""
    shares = [evaluation.competence for evaluation in evaluations or ()]
    known = [share for share in shares if share is not None]
    return known if known and len(known) == len(shares) else None


def _line_with_breaks(trajectory: Trajectory, x: Scale, y: Scale) -> list[Markup]:
    """After a rollback the curve goes on from the restored step: the line breaks, and a dotted one leads there."""
    points = {int(trajectory.steps_S[i]): i for i in thinned(len(trajectory))}
    breaks = {rollback.step: rollback.target_step for rollback in _rollbacks(trajectory)}
    parts: list[Markup] = []
    piece: list[tuple[float, float]] = []
    for step, i in points.items():
        piece.append((x(step), y(float(trajectory.judged_S[i]))))
        if step in breaks:
            parts.append(polyline(piece, "line"))
            target = points.get(breaks[step])
            piece = []
            if target is not None and step + 1 in points:
                start = x(breaks[step]), y(float(trajectory.judged_S[target]))
                after = x(step + 1), y(float(trajectory.judged_S[points[step + 1]]))
                parts.append(polyline([start, after], "resumed"))
    return [*parts, polyline(piece, "line")]


def _rollbacks(trajectory: Trajectory) -> Sequence[Rollback]:
    return trajectory.facts.rollbacks if trajectory.facts else ()


def _rollback(step: int, target: int, x: Scale, y: Scale) -> Markup:
    """An arc over the plot from the step to the one it was taken back to, with an arrow head."""
    top, start, end = y.stop + 3, number(x(step)), x(target)
    arc = f"M{start} {number(top + 7)}v-4q0 -3 -3 -3H{number(end + 3)}q-3 0 -3 3v5"
    head = f"M{number(end - 3)} {number(top + 5)}l3 4l3 -4"
    tip = element("title", f"rolled back from step {step} to step {target}")
    return group([tip, element("path", d=arc), element("path", d=head)], class_="rollback")


def _unused_budget(trajectory: Trajectory, measures: CampaignMeasures, x: Scale, y: Scale) -> list[Markup]:
    """The budget that a controller left unused: a bar at the last step, and the saved steps shaded."""
    facts = trajectory.facts
    if facts is None or facts.stopped_by is None or measures.end_step >= facts.budget:
        return []
    left, right = x(measures.end_step), x(facts.budget)
    shade = element("rect", x=left, y=y.stop, width=right - left, height=y.start - y.stop, class_="saved")
    tip = element("title", f"stopped after step {measures.end_step} of {facts.budget}")
    return [shade, group([tip, line(left, y.stop, left, y.start, "stop")])]


def _noise_band(measures: CampaignMeasures, x: Scale, y: Scale, noise: float) -> Markup:
    top, bottom = y(measures.peak), y(max(y.low, measures.peak - noise))
    left, right = x(measures.peak_step), x(measures.end_step)
    return element("rect", x=left, y=top, width=max(0.0, right - left), height=bottom - top, class_="noise")


def peak_mark(x: float, y: float) -> Markup:
    """A triangle that stands on the curve."""
    return element("path", d=f"M{number(x)} {number(y - 3)}l-5 -8.5h10z", class_="peak")


def handed_mark(x: float, y: float) -> Markup:
    return element("path", d=f"M{number(x)} {number(y - 5)}l5 5l-5 5l-5 -5z", class_="kept")


def _dot(x: float, y: float) -> Markup:
    return element("circle", cx=x, cy=y, r=2.6, class_="dot")


def _handed_on(trajectory: Trajectory, measures: CampaignMeasures, x: Scale, y: Scale) -> Markup:
    if trajectory.facts is None or trajectory.facts.handed_on_step is None or measures.handed_on is None:
        return Markup("")
    return handed_mark(x(trajectory.facts.handed_on_step), y(measures.handed_on))


def _labels(measures: CampaignMeasures, x: Scale, y: Scale, format_: Format) -> list[Markup]:
    """Start, peak and end in numbers; the peak's above its mark, the end's where the fall leaves room."""
    peak_x, end_x = x(measures.peak_step), x(measures.end_step)
    labels = [text(peak_x, max(y.stop + 4, y(measures.peak) - 15), format_(measures.peak), "value", "middle")]
    if x(measures.peak_step) - x.start > 45:
        shift = -7 if y(measures.start) > y.start - 30 else 14  # below the curve, where the axis leaves room
        labels.append(text(x.start + 4, y(measures.start) + shift, format_(measures.start), "value"))
    if end_x - peak_x > 30:
        above = y(measures.end) - 7 if y(measures.end) > y.stop + 24 else y(measures.end) + 15
        labels.append(text(end_x, above, format_(measures.end), "value", "end" if end_x > x.stop - 20 else "middle"))
    return labels


def _seeds(curves: Sequence[Trajectory], x: Scale, y: Scale) -> list[Markup]:
    parts = [polyline(_points(curve, curve.judged_S, x, y), "seed") for curve in curves]
    steps, mean = mean_curve(curves)
    parts.append(polyline([(x(step), y(value)) for step, value in zip(steps, mean, strict=True)], "line"))
    for curve in curves:
        measures = measure_campaign(curve)
        parts.append(_handed_on(curve, measures, x, y))
        parts.append(peak_mark(x(measures.peak_step), y(measures.peak)))
    return [group(parts, class_="small")]


def mean_curve(curves: Sequence[Trajectory]) -> tuple[list[int], list[float]]:
    """The mean over seeds of the judged curve, at the steps that every seed has reached: beyond them, a mean over those
    that were not stopped would compare different seeds."""
    by_step = [dict(zip(curve.steps_S.tolist(), curve.judged_S.tolist(), strict=True)) for curve in curves]
    common = sorted(set.intersection(*(set(values) for values in by_step))) if by_step else []
    common = [common[i] for i in thinned(len(common))]
    return common, [float(np.mean([values[step] for values in by_step])) for step in common]


def _reading_one(trajectory: Trajectory, x: Scale, unit: str) -> Readings:
    chosen = thinned(len(trajectory))
    factor = 100 if unit == "%" else 1
    rows: dict[str, list[float | None]] = {}
    if trajectory.report is not None:
        rows["report"] = [factor * e.pass_at_1 for e in (trajectory.report[i] for i in chosen)]
        shares = competence_of(trajectory.report)
        if shares:
            rows["right values"] = [factor * shares[i] for i in chosen]
        rows["select"] = [factor * float(trajectory.values_S[i]) for i in chosen]
    else:
        rows[visible(trajectory.metric, 60)] = [factor * float(trajectory.values_S[i]) for i in chosen]
    steps = [int(trajectory.steps_S[i]) for i in chosen]
    return Readings([x(step) for step in steps], [f"step {step:,}" for step in steps], rows, unit)


def _reading_seeds(curves: Sequence[Trajectory], x: Scale, unit: str) -> Readings:
    steps = sorted({int(step) for curve in curves for step in curve.steps_S})
    steps = [steps[i] for i in thinned(len(steps))]
    factor = 100 if unit == "%" else 1
    common, mean = mean_curve(curves)
    means = dict(zip(common, mean, strict=True))
    rows: dict[str, list[float | None]] = {"mean": [factor * means[s] if s in means else None for s in steps]}
    for nth, curve in enumerate(curves[:8]):
        values = dict(zip(curve.steps_S.tolist(), curve.judged_S.tolist(), strict=True))
        rows[seed_name(curve, nth)] = [factor * values[s] if s in values else None for s in steps]
    return Readings([x(step) for step in steps], [f"step {step:,}" for step in steps], rows, unit)


def seed_name(trajectory: Trajectory, nth: int) -> str:
    """`seed 3`, from the directory's name."""
    name = trajectory.source.name
    return name.replace("-", " ") if name.startswith("seed-") else f"seed no. {nth + 1}"


def _described(curves: Sequence[Trajectory], axes: PanelAxes) -> str:
    """The panel in words, for those who do not see it."""
    f = axes.format
    if len(curves) == 1:
        m = measure_campaign(curves[0])
        return f"start {f(m.start)}, peak {f(m.peak)} at step {m.peak_step}, end {f(m.end)} at step {m.end_step}"
    all_ = [measure_campaign(curve) for curve in curves]
    start, peak, end = (
        f(float(np.mean(v))) for v in ([m.start for m in all_], [m.peak for m in all_], [m.end for m in all_])
    )
    return f"{len(curves)} seeds, means: start {start}, peak {peak}, end {end}"
