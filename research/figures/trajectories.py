"""Curves for print: one run that rises and collapses (after the paper's Figure 1), and many campaigns aligned at their
start with the histogram of onsets (after Figure 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from crestfall.analysis.measures import CampaignMeasures, measure_campaign
from crestfall.analysis.null import simulate_null
from crestfall.analysis.trajectory import Run, Trajectory
from crestfall.core.errors import InputError
from crestfall.core.rng import stream
from research.figures.style import FAINT, INK, MARKERS, MUTED, PALETTE, new_figure, percent_axis, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Below the curve, in this order, as far as the run has them.
_COMPANIONS = (("entropy", "entropy\n(nats)"), ("truncated", "truncated"), ("grad_norm", "gradient\nnorm"))


def single_run(trajectory: Trajectory, title: str = "") -> Figure:
    """One campaign or run: the judged curve with its two-standard-error band, select, competence, peak and end; below
    it what entropy, truncation and the gradient norm did.

    Raises:
        InputError: a curve without points.
        MissingExtraError: matplotlib is not installed.
    """
    measures = measure_campaign(trajectory)
    companions = [(name, label) for name, label in _COMPANIONS if len(trajectory.signals.get(name, ()))]
    with styled():
        figure = new_figure(4.8, 2.7 + 0.75 * len(companions))
        axes = figure.subplots(
            1 + len(companions), 1, sharex=True, squeeze=False, height_ratios=[3.4] + [1] * len(companions)
        )[:, 0]
        _curve(axes[0], trajectory)
        _name_peak(axes[0], measures)
        axes[0].plot(measures.peak_step, measures.peak, "v", color=PALETTE[0], markersize=8, markeredgecolor="white")
        axes[0].set_title(title)
        axes[0].legend(loc="best")
        for ax, (name, label) in zip(axes[1:], companions, strict=True):
            series = trajectory.signals[name]
            ax.plot(series.steps_S, series.values_S, color=INK, linewidth=1.1)
            ax.axvline(measures.peak_step, color=MUTED, linewidth=0.7, linestyle=":")
            ax.set_ylabel(label, rotation=0, ha="right", va="center")
            ax.set_ylim(bottom=min(0.0, float(series.values_S.min())))
        axes[-1].set_xlabel("gradient step")
        axes[-1].xaxis.get_major_locator().set_params(integer=True)
    return figure


def _name_peak(axes: Any, measures: CampaignMeasures) -> None:
    from matplotlib.patheffects import withStroke

    axes.annotate(
        f"peak {measures.peak:.0%}, step {measures.peak_step}" if measures.peak <= 1 else f"step {measures.peak_step}",
        (measures.peak_step, measures.peak),
        xytext=(9, 12),
        textcoords="offset points",
        fontweight="bold",
        color=PALETTE[0],
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
        zorder=5,
    )


def _curve(axes: Any, trajectory: Trajectory) -> None:
    steps, judged, errors = trajectory.steps_S, trajectory.judged_S, trajectory.judged_error_S
    label = "report" if trajectory.report is not None else trajectory.metric
    axes.plot(steps, judged, color=PALETTE[0], label=label)
    if errors is not None:
        axes.fill_between(steps, judged - 2 * errors, judged + 2 * errors, color=PALETTE[0], alpha=0.15, linewidth=0)
    if trajectory.report is not None:
        axes.plot(steps, trajectory.values_S, ":", color=PALETTE[0], linewidth=1, alpha=0.8, label="select")
        competence = [evaluation.competence for evaluation in trajectory.report]
        if all(share is not None for share in competence):
            axes.plot(steps, competence, "--", color=MUTED, linewidth=1, label="right values, any convention")
    if judged.min() >= 0 and judged.max() <= 1:
        axes.set_ylim(0, min(1.0, 1.25 * float(judged.max()) + 0.05))
        percent_axis(axes.yaxis)
    axes.set_ylabel("pass@1" if trajectory.metric == "pass_at_1" else trajectory.metric)


def aligned(methods: Mapping[str, Sequence[Run]], onset_null: Mapping[str, Sequence[float]] | None = None) -> Figure:
    """All campaigns of each method aligned at their first step, as lines with their mean; below, where their falls
    began: only of campaigns whose gap exceeds three standard errors, and that number is given.

    `onset_null`: by method, onsets under a gradual fall of the same size (`onsets_under_null`), drawn behind.

    Raises:
        InputError: no method has a campaign.
    """
    curves = {method: [t for run in runs for t in run.campaigns if len(t)] for method, runs in methods.items()}
    curves = {method: found for method, found in curves.items() if found}
    if not curves:
        raise InputError("no campaign has been evaluated: nothing to align")
    with styled():
        figure = new_figure(max(3.0, 2.5 * len(curves)), 3.9)
        axes = figure.subplots(2, len(curves), sharex=True, sharey="row", squeeze=False, height_ratios=[2.2, 1])
        for k, (method, found) in enumerate(curves.items()):
            _draw_aligned(axes[0, k], found, PALETTE[k % len(PALETTE)], f"{method} ({len(found)} campaigns)")
            _draw_onsets(axes[1, k], found, PALETTE[k % len(PALETTE)], (onset_null or {}).get(method))
        axes[0, 0].set_ylabel("pass@1 on report")
        axes[0, 0].set_ylim(0, 1)
        percent_axis(axes[0, 0].yaxis)
        axes[1, 0].set_ylabel("campaigns")
    return figure


def _draw_aligned(axes: Any, curves: Sequence[Trajectory], color: str, title: str) -> None:
    for curve in curves:
        axes.plot(curve.steps_S, curve.judged_S, color=color, linewidth=0.6, alpha=min(0.5, 6 / len(curves)))
    steps, mean, low, high = _quartiles(curves)
    axes.fill_between(steps, low, high, color=color, alpha=0.18, linewidth=0)
    axes.plot(steps, mean, color=color, linewidth=2)
    axes.set_title(title)


def _quartiles(curves: Sequence[Trajectory]) -> tuple[list[int], list[float], list[float], list[float]]:
    """Mean and quartiles at the steps that at least half of the campaigns have reached."""
    at: dict[int, list[float]] = {}
    for curve in curves:
        for step, value in zip(curve.steps_S.tolist(), curve.judged_S.tolist(), strict=True):
            at.setdefault(step, []).append(value)
    steps = [step for step in sorted(at) if 2 * len(at[step]) >= len(curves)]
    low, high = ([float(np.quantile(at[step], q)) for step in steps] for q in (0.25, 0.75))
    return steps, [float(np.mean(at[step])) for step in steps], low, high


def _draw_onsets(axes: Any, curves: Sequence[Trajectory], color: str, null: Sequence[float] | None) -> None:
    measures = [measure_campaign(curve) for curve in curves]
    onsets = [m.onset for m in measures if m.onset is not None and m.fall_is_clear]
    last = max(int(curve.steps_S[-1]) for curve in curves)
    bins = np.arange(0.5, last + 1.5)
    if null is not None and len(null) and onsets:
        weights = np.full(len(null), len(onsets) / len(null))
        axes.hist(null, bins=bins, weights=weights, color=FAINT, label="gradual fall of the same size")
        if axes.get_subplotspec().is_first_col():
            axes.legend(fontsize=6.5)
    axes.hist(onsets, bins=bins, color=color, alpha=0.85, edgecolor="white", linewidth=0.4)
    axes.set_xlabel("step")
    axes.set_title(f"onset of {len(onsets)} clear falls", fontsize=7.5, fontweight="normal")
    axes.yaxis.get_major_locator().set_params(integer=True)


def onsets_under_null(methods: Mapping[str, Sequence[Run]]) -> dict[str, list[float]]:
    """By method, onsets of simulated gradual falls: as long, as large and as noisily evaluated as the clear ones."""
    found: dict[str, list[float]] = {}
    for method, runs in methods.items():
        for curve in (t for run in runs for t in run.campaigns if t.select is not None and len(t) > 1):
            if measure_campaign(curve).fall_is_clear:
                onsets = simulate_null(curve, "gradual", stream("figures", "onset", curve.name)).onset_B
                found.setdefault(method, []).extend(onsets[np.isfinite(onsets)].tolist())
    return found


def markers(methods: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each method, the same in every figure that is given the same methods."""
    return {m: (PALETTE[k % len(PALETTE)], MARKERS[k % len(MARKERS)]) for k, m in enumerate(methods)}
