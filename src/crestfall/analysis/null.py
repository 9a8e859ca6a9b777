"""Null distributions of a campaign's statistics: the gap, collapse rate, onset and cliff that noise alone produces.

Three ways a run may truly have gone, each evaluated with the run's own noise (same problems, same n, same choice of the
peak on select and scoring on report):

- `flat`: one level throughout, the curve's mean;
- `plateau`: it rose and never fell: the monotone (isotonic) fit of the run's own curve up to its peak, select and
  report together, held from there (a fit to the end would rise with the last values' noise and hide gaps);
- `gradual`: it rose likewise to its peak and then fell in a straight line by the run's own gap: what the onset and the
  phase-transition score are compared with, since "how much of the fall is in one step" needs a fall.

Problem difficulties are beta-binomial with the mean of the level; their spread is estimated from the counts. A pass@1
of P problems with n samples then has variance q (1 - q) (1 - rho) / (n P) around the level q of these problems, rho the
intraclass correlation: it is drawn as a binomial of n P / (1 - rho) trials, which has just that mean and variance. Two
hundred chains take seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from crestfall.analysis.measures import COLLAPSE, measure_campaign
from crestfall.analysis.onset import FALL_FOR_GOOD, ROUNDING
from crestfall.analysis.trajectory import FloatArray, Trajectory
from crestfall.core.errors import InputError
from crestfall.core.types import Evaluation

Kind = Literal["flat", "plateau", "gradual"]
REPLICATES = 200


@dataclass(frozen=True, eq=False)
class Replicates:
    """Statistics of B replicates of a campaign. `picked_B` is the maximum that the peak was chosen by, `peak_B` the
    same step scored; `onset_B`, `onset_for_good_B` (steps) and `phase_transition_B` are NaN without a fall."""

    picked_B: FloatArray
    peak_B: FloatArray
    end_B: FloatArray
    gap_B: FloatArray
    collapsed_B: npt.NDArray[np.bool_]
    onset_B: FloatArray
    onset_for_good_B: FloatArray
    phase_transition_B: FloatArray


@dataclass(frozen=True)
class AgainstNull:
    """A statistic and its null: mean, central 95%, and the p-value (share of replicates at least as large, the observed
    one counted)."""

    observed: float
    null_mean: float
    null_low: float
    null_high: float
    p_value: float


@dataclass(frozen=True)
class NullComparison:
    """Means over campaigns. `peak` (as scored), `peak_as_selected` and `end` are against the plateau: what they would
    be had the run kept its peak's level. Onsets and `phase_transition` are against the gradual fall and over the
    `clear` campaigns alone, those whose gap exceeds three standard errors; None where there is none."""

    campaigns: int
    clear: int
    peak: AgainstNull
    peak_as_selected: AgainstNull
    end: AgainstNull
    gap_flat: AgainstNull
    gap: AgainstNull
    collapse_rate_flat: AgainstNull
    collapse_rate: AgainstNull
    onset: AgainstNull | None
    onset_for_good: AgainstNull | None
    phase_transition: AgainstNull | None


def against_null(
    trajectories: Sequence[Trajectory], rng: np.random.Generator, replicates: int = REPLICATES
) -> NullComparison:
    """The mean gap, collapse rate, onset and phase-transition score of some campaigns beside what noise alone gives.

    Raises:
        InputError: a campaign without counts (a foreign log), or no campaign.
    """
    if not trajectories:
        raise InputError("no campaign to compare with its null")
    measures = [measure_campaign(t) for t in trajectories]
    flat = [simulate_null(t, "flat", rng, replicates) for t in trajectories]
    plateau = [simulate_null(t, "plateau", rng, replicates) for t in trajectories]
    gaps, collapsed = [m.gap for m in measures], [float(m.collapsed) for m in measures]
    clear = [(m, t) for m, t in zip(measures, trajectories, strict=True) if m.fall_is_clear and m.onset is not None]
    gradual = [simulate_null(t, "gradual", rng, replicates) for _, t in clear]
    onsets = [float(m.onset) for m, _ in clear if m.onset is not None]
    for_good = [float(m.onset_for_good) for m, _ in clear if m.onset_for_good is not None]
    scores = [m.phase_transition for m, _ in clear if m.phase_transition is not None]
    return NullComparison(
        campaigns=len(measures),
        clear=len(clear),
        peak=against([m.peak for m in measures], [r.peak_B for r in plateau]),
        peak_as_selected=against([m.peak_as_selected for m in measures], [r.picked_B for r in plateau]),
        end=against([m.end for m in measures], [r.end_B for r in plateau]),
        gap_flat=against(gaps, [r.gap_B for r in flat]),
        gap=against(gaps, [r.gap_B for r in plateau]),
        collapse_rate_flat=against(collapsed, [r.collapsed_B.astype(np.float64) for r in flat]),
        collapse_rate=against(collapsed, [r.collapsed_B.astype(np.float64) for r in plateau]),
        onset=against(onsets, [r.onset_B for r in gradual]) if clear else None,
        onset_for_good=against(for_good, [r.onset_for_good_B for r in gradual]) if for_good else None,
        phase_transition=against(scores, [r.phase_transition_B for r in gradual]) if clear else None,
    )


def simulate_null(
    trajectory: Trajectory, kind: Kind, rng: np.random.Generator, replicates: int = REPLICATES
) -> Replicates:
    """`replicates` evaluations of a campaign that truly went the way of `kind`. Raises InputError without counts."""
    if trajectory.select is None:
        raise InputError(f"{trajectory.source}: a null needs the counts behind {trajectory.metric}; this log has none")
    level_S = true_level(trajectory, kind)
    values_BS = _evaluate(level_S, trajectory.select, rng, replicates)
    scored_BS = values_BS if trajectory.report is None else _evaluate(level_S, trajectory.report, rng, replicates)
    return statistics(values_BS, scored_BS, trajectory.steps_S.astype(np.float64))


def true_level(trajectory: Trajectory, kind: Kind) -> FloatArray:
    """The pass@1 of a campaign at each step under a null, select and report pooled."""
    from scipy.optimize import isotonic_regression

    scored_S = trajectory.scored_S
    pooled_S = trajectory.values_S if scored_S is None else (trajectory.values_S + scored_S) / 2
    if kind == "flat":
        return np.full(len(pooled_S), float(pooled_S.mean()))
    peak = int(np.argmax(trajectory.values_S))
    gap = trajectory.judged_S[peak] - trajectory.judged_S[-1] if kind == "gradual" else 0.0
    rise_S = isotonic_regression(pooled_S[: peak + 1]).x
    fall_S = rise_S[-1] - gap * np.linspace(0, 1, len(pooled_S) - peak)[1:]
    return np.asarray(np.clip(np.concatenate([rise_S, fall_S]), 0.0, 1.0))


def intraclass_correlation(evaluations: Sequence[Evaluation]) -> float:
    """rho = 1 / (1 + kappa) of the beta-binomial, by moments over all steps: 0 where all problems are equally hard, 1
    where each passes always or never.

    Between problems, Var(c / n) = q (1 - q) (1 / n + (1 - 1 / n) rho).
    """
    n = evaluations[0].n
    shares_SP = np.array([e.passed_P for e in evaluations]) / n
    q_S = shares_SP.mean(axis=1)
    binomial = float(np.sum(q_S * (1 - q_S)))
    if n < 2 or shares_SP.shape[1] < 2 or binomial == 0:
        return 0.0
    rho = (float(np.sum(shares_SP.var(axis=1, ddof=1))) - binomial / n) / (binomial * (1 - 1 / n))
    return float(np.clip(rho, 0.0, 0.99))


def _evaluate(
    level_S: FloatArray, evaluations: Sequence[Evaluation], rng: np.random.Generator, replicates: int
) -> FloatArray:
    samples = evaluations[0].n * len(evaluations[0].passed_P)
    trials = round(samples / (1 - intraclass_correlation(evaluations)))
    passed_BS = rng.binomial(trials, level_S, size=(replicates, len(level_S)))
    return np.asarray(passed_BS / trials, dtype=np.float64)


def statistics(values_BS: FloatArray, scored_BS: FloatArray, steps_S: FloatArray) -> Replicates:
    """Peak on `values_BS`, everything else on `scored_BS`: the definitions of `measures`, a row a replicate."""
    rows = np.arange(len(values_BS))
    peak_B = values_BS.argmax(axis=1)
    gap_B = scored_BS[rows, peak_B] - scored_BS[:, -1]
    falls_BS = scored_BS[:, :-1] - scored_BS[:, 1:]
    falls_BS = np.where(np.arange(falls_BS.shape[1]) >= peak_B[:, None], falls_BS, -np.inf)
    largest_B = falls_BS.max(axis=1, initial=-np.inf)
    fell_B = largest_B > ROUNDING
    ties_BS = falls_BS >= largest_B[:, None] - ROUNDING
    at_B = ties_BS.argmax(axis=1) if ties_BS.shape[1] else np.zeros(len(rows), dtype=np.int64)
    onset_B = np.where(fell_B, steps_S[np.minimum(at_B + 1, len(steps_S) - 1)], np.nan)
    score_B = np.divide(largest_B, gap_B, out=np.full(len(rows), np.nan), where=gap_B > 0)
    return Replicates(
        picked_B=values_BS[rows, peak_B],
        peak_B=scored_BS[rows, peak_B],
        end_B=scored_BS[:, -1],
        gap_B=gap_B,
        collapsed_B=gap_B > COLLAPSE + ROUNDING,
        onset_B=onset_B,
        onset_for_good_B=_left_for_good(scored_BS, peak_B, steps_S),
        phase_transition_B=np.minimum(score_B, 1.0),
    )


def _left_for_good(scored_BS: FloatArray, peak_B: npt.NDArray[np.int64], steps_S: FloatArray) -> FloatArray:
    """`onset.left_for_good`, a row a replicate: the step after the last one that is still near the peak."""
    peak_B1 = np.take_along_axis(scored_BS, peak_B[:, None], axis=1)
    near_BS = scored_BS >= peak_B1 - FALL_FOR_GOOD - ROUNDING
    last_near_B = near_BS.shape[1] - 1 - near_BS[:, ::-1].argmax(axis=1)
    left_B = last_near_B < near_BS.shape[1] - 1
    return np.where(left_B, steps_S[np.minimum(last_near_B + 1, len(steps_S) - 1)], np.nan)


def against(observed: Sequence[float], null: Sequence[FloatArray]) -> AgainstNull:
    """Mean over campaigns against the mean over campaigns of each replicate (NaN: that campaign is left out)."""
    null_CB = np.array(null)
    known_CB = np.isfinite(null_CB)
    counts_B = known_CB.sum(axis=0)
    sums_B = np.where(known_CB, null_CB, 0.0).sum(axis=0)
    null_B = sums_B[counts_B > 0] / counts_B[counts_B > 0]
    mean = float(np.mean(observed))
    if not len(null_B):
        return AgainstNull(mean, mean, mean, mean, 1.0)
    low, high = np.quantile(null_B, [0.025, 0.975])
    p_value = (1 + np.sum(null_B >= mean - ROUNDING)) / (1 + len(null_B))
    return AgainstNull(mean, float(null_B.mean()), float(low), float(high), float(p_value))
