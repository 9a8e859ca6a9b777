"""Everything that is said of one curve: class, measures, intervals, p-value, onset, leads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from crestfall.analysis.classify import SIGNIFICANCE, Classification, classify
from crestfall.analysis.leads import Lead, lead_of
from crestfall.analysis.levels import Levels, moving_average
from crestfall.analysis.measures import CampaignMeasures, measure_campaign
from crestfall.analysis.noise import bin_means
from crestfall.analysis.onset import largest_fall, left_for_good
from crestfall.analysis.phase import phase_transition_score
from crestfall.analysis.trajectory import Trajectory
from crestfall.core.signals import COMPARED

FALL_DONE = 0.9


@dataclass(frozen=True, eq=False)
class Analysis:
    """`measures` are the raw numbers as the paper defines them, `levels` the noise-aware ones. `onset` and
    `phase_transition` are None unless the fall is real (p < 0.05) and exceeds three standard errors."""

    trajectory: Trajectory
    measures: CampaignMeasures
    classification: Classification
    onset: int | None
    onset_for_good: int | None
    phase_transition: float | None
    leads: tuple[Lead, ...]

    @property
    def levels(self) -> Levels:
        return self.classification.levels

    def to_json(self) -> dict[str, Any]:
        t, m, c = self.trajectory, self.measures, self.classification
        out: dict[str, Any] = {
            "path": str(t.source),
            "name": t.name,
            "metric": t.metric,
            "why": t.why,
            "class": c.label,
            "start": m.start,
            "peak": m.peak,
            "peak_step": m.peak_step,
            "end": m.end,
            "gap": m.gap,
            "p_value": c.p_fall,
            "onset": self.onset,
            "leads": {lead.signal: lead.steps for lead in self.leads},
            "steps": len(t),
            "first_step": int(t.steps_S[0]),
            "last_step": m.end_step,
            "rise_p_value": c.p_rise,
            "onset_for_good": self.onset_for_good,
            "phase_transition": self.phase_transition,
            "fall": c.levels.fall.value,
            "rise": c.levels.rise.value,
            "noise": c.noise,
            "autocorrelation": c.correlation,
            "intervals": {
                name: [e.low, e.high]
                for name in ("start", "peak", "end", "rise", "fall")
                for e in [getattr(c.levels, name)]
            },
            "signals": sorted(t.signals),
            "notes": list(t.notes),
        }
        if t.facts is not None:
            out["campaign"] = t.facts.campaign
        return out


def analyze(trajectory: Trajectory) -> Analysis:
    """All of it for one curve. Raises InputError where there is no point."""
    measures = measure_campaign(trajectory)
    judged_S, errors_S = trajectory.judged_S, trajectory.judged_error_S
    c = classify(judged_S, errors_S)
    peak = int(np.argmax(moving_average(judged_S, c.smoothing)))
    clear = c.p_fall < SIGNIFICANCE and c.levels.fall.value > 3 * c.noise * np.sqrt(2 / c.smoothing)
    onset = largest_fall(judged_S, peak, half_width(trajectory, c)) if clear else None
    for_good = left_for_good(moving_average(judged_S, c.smoothing), peak) if clear else None
    steps_S = trajectory.steps_S
    return Analysis(
        trajectory=trajectory,
        measures=measures,
        classification=c,
        onset=None if onset is None else int(steps_S[onset]),
        onset_for_good=None if for_good is None else int(steps_S[for_good]),
        phase_transition=phase_transition_score(judged_S, peak) if clear else None,
        leads=() if onset is None else _leads(trajectory, onset, peak, c),
    )


def half_width(trajectory: Trajectory, c: Classification) -> int:
    """How many points on each side to compare for the onset: the smoothing's width, of the curve as it was logged."""
    points_per_bin = max(1, round(len(trajectory) / len(bin_means(trajectory.judged_S))))
    return c.smoothing * points_per_bin


def _leads(trajectory: Trajectory, onset: int, peak: int, c: Classification) -> tuple[Lead, ...]:
    smooth_S = moving_average(trajectory.judged_S, c.smoothing)
    done = np.flatnonzero(smooth_S[peak:] <= smooth_S[peak] - FALL_DONE * (smooth_S[peak] - smooth_S[-1]))
    end_step = int(trajectory.steps_S[peak + int(done[0])]) if len(done) else int(trajectory.steps_S[-1])
    onset_step = int(trajectory.steps_S[onset])
    found = (
        lead_of(signal, trajectory.signals[signal], onset_step, end_step)
        for signal in COMPARED
        if signal in trajectory.signals
    )
    return tuple(sorted((lead for lead in found if lead is not None), key=lambda lead: -lead.steps))
