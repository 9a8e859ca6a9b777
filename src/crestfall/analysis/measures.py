"""The numbers of a campaign and of a chain, as the paper defines them; each a field of a small dataclass.

A peak is chosen on the curve that choices are made on and scored on the judged one (select and report of our runs; one
and the same curve elsewhere, and then biased: see `null.py`). Scores are fractions unless a name says points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crestfall.analysis.onset import ROUNDING, largest_fall, left_for_good
from crestfall.analysis.phase import phase_transition_score
from crestfall.analysis.trajectory import Trajectory
from crestfall.core.errors import InputError

COLLAPSE = 0.2


@dataclass(frozen=True)
class CampaignMeasures:
    """One campaign or foreign run.

    `peak` = score at `peak_step` on the judged curve; `peak_as_selected` = the maximum it was chosen by. `onset` and
    `onset_for_good` are steps (readings A and B). `gap_error` is the standard error of `gap`, None where not known:
    onset and phase-transition score mean something only where `gap` exceeds three of them (`fall_is_clear`).
    `handed_on` is the score of the final weights.
    """

    start: float
    peak: float
    peak_step: int
    peak_as_selected: float
    end: float
    end_step: int
    gap: float
    gap_error: float | None
    gap_as_selected: float
    collapsed: bool
    onset: int | None
    onset_for_good: int | None
    phase_transition: float | None
    handed_on: float | None

    @property
    def fall_is_clear(self) -> bool | None:
        return None if self.gap_error is None else self.gap > 3 * self.gap_error


def measure_campaign(trajectory: Trajectory) -> CampaignMeasures:
    """Raises InputError for a curve without points."""
    if len(trajectory) == 0:
        raise InputError(f"{trajectory.source}: no value of {trajectory.metric}")
    values_S, judged_S, steps_S = trajectory.values_S, trajectory.judged_S, trajectory.steps_S
    peak = int(np.argmax(values_S))
    gap = float(judged_S[peak] - judged_S[-1])

    def step(index: int | None) -> int | None:
        return None if index is None else int(steps_S[index])

    errors_S = trajectory.judged_error_S
    return CampaignMeasures(
        start=float(judged_S[0]),
        peak=float(judged_S[peak]),
        peak_step=int(steps_S[peak]),
        peak_as_selected=float(values_S[peak]),
        end=float(judged_S[-1]),
        end_step=int(steps_S[-1]),
        gap=gap,
        gap_error=None if errors_S is None else float(np.hypot(errors_S[peak], errors_S[-1])),
        gap_as_selected=float(values_S[peak] - values_S[-1]),
        collapsed=gap > COLLAPSE + ROUNDING,
        onset=step(largest_fall(judged_S, peak)),
        onset_for_good=step(left_for_good(judged_S, peak)),
        phase_transition=phase_transition_score(judged_S, peak),
        handed_on=_handed_on(trajectory),
    )


def _handed_on(trajectory: Trajectory) -> float | None:
    facts = trajectory.facts
    if facts is None or facts.handed_on_step is None:
        return None
    at_step = trajectory.judged_S[trajectory.steps_S == facts.handed_on_step]
    return facts.handed_on if facts.handed_on is not None else float(at_step[0])


@dataclass(frozen=True)
class RiseSplit:
    """A rise from start to peak, split: `competence` is more samples that compute the right values under any answering
    convention, `convention` is the rest (right values, now also in the accepted form). They add up to `rise`."""

    rise: float
    competence: float
    convention: float


def split_rise(trajectory: Trajectory) -> RiseSplit | None:
    """On the judged evaluations, first step to the peak chosen on select. None: competence was not measured."""
    evaluations = trajectory.report or trajectory.select
    if evaluations is None:
        return None
    first, best = evaluations[0], evaluations[int(np.argmax(trajectory.values_S))]
    if first.competence is None or best.competence is None:
        return None
    rise = best.pass_at_1 - first.pass_at_1
    competence = best.competence - first.competence
    return RiseSplit(rise, competence, rise - competence)
