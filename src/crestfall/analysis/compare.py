"""One arm against another, seed by seed, and several arms against one baseline.

Below six seeds the smallest two-sided p-value that the exact sign-flip test can give is 1/16: no claim of significance
is possible, and `Comparison.claim` says so whatever the numbers are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crestfall.analysis.bootstrap import Interval, mean_interval
from crestfall.analysis.trajectory import FloatArray
from crestfall.core.errors import InputError
from crestfall.core.rng import stream

FEWEST_SEEDS = 6
LEVEL = 0.05


@dataclass(frozen=True)
class Comparison:
    """Differences are arm - baseline over the seeds that both have, in order of seeds.

    `interval`: studentised bootstrap of the mean difference; told the other way round it is the same with its signs
    changed. `t_p_value` (paired t; None where all differences are
    equal) and `sign_flip_p_value` (exact) are two-sided. `holm_p_value`: the latter adjusted for all arms compared in
    the same call, of which there are `family`.
    """

    arm: str
    baseline: str
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    mean_difference: float
    interval: Interval
    gains: int
    probability_of_improvement: float
    t_p_value: float | None
    sign_flip_p_value: float
    holm_p_value: float
    family: int = 1
    """Comparisons that the adjustment is over."""

    @property
    def significance_possible(self) -> bool:
        return len(self.seeds) >= FEWEST_SEEDS

    @property
    def significant(self) -> bool:
        return self.significance_possible and self.holm_p_value < LEVEL

    @property
    def claim(self) -> str:
        """The claim that the difference supports, in words."""
        if not self.significance_possible:
            return f"{len(self.seeds)} seeds: no claim of significance is possible below {FEWEST_SEEDS}"
        verdict = "significant" if self.significant else "not significant"
        holm = "Holm" if self.family == 1 else f"Holm over {self.family}"
        p, seeds = self.holm_p_value, len(self.seeds)
        return f"{verdict} at {LEVEL} (exact sign-flip, {holm}: p-value {p:.3f}, {seeds} seeds)"


def compare(
    baseline: str, baseline_scores: Mapping[int, float], arms: Mapping[str, Mapping[int, float]]
) -> list[Comparison]:
    """Every arm against the baseline, paired by seed; scores are keyed by seed.

    Raises:
        InputError: an arm shares fewer than 2 seeds with the baseline.
    """
    found = [_compare_one(baseline, baseline_scores, arm, scores) for arm, scores in arms.items()]
    adjusted = holm([c.sign_flip_p_value for c in found])
    return [replace(c, holm_p_value=p, family=len(found)) for c, p in zip(found, adjusted, strict=True)]


def _compare_one(
    baseline: str, baseline_scores: Mapping[int, float], arm: str, scores: Mapping[int, float]
) -> Comparison:
    seeds = tuple(sorted(set(baseline_scores) & set(scores)))
    if len(seeds) < 2:
        raise InputError(f"{arm} and {baseline} share {len(seeds)} seeds: a paired comparison needs at least 2")
    x_N = np.array([scores[s] for s in seeds])
    y_N = np.array([baseline_scores[s] for s in seeds])
    d_N = x_N - y_N
    p = sign_flip_p_value(d_N)
    return Comparison(
        arm=arm,
        baseline=baseline,
        seeds=seeds,
        differences=tuple(d_N.tolist()),
        mean_difference=float(d_N.mean()),
        interval=mean_interval(d_N, stream("compare", *sorted((arm, baseline)))),
        gains=int(np.sum(d_N > 0)),
        probability_of_improvement=probability_of_improvement(x_N, y_N),
        t_p_value=paired_t_p_value(d_N),
        sign_flip_p_value=p,
        holm_p_value=p,
    )


def paired_t_p_value(differences_N: FloatArray) -> float | None:
    """Two-sided; None where all differences are equal (t is then 0/0 or infinite)."""
    from scipy.stats import ttest_1samp

    if np.ptp(differences_N) == 0:
        return None
    return float(ttest_1samp(differences_N, 0.0).pvalue)


def sign_flip_p_value(differences_N: FloatArray) -> float:
    """Two-sided test that the differences are symmetric around 0: all 2^N patterns of signs up to 16 seeds, above that
    100,000 random ones (the observed pattern counted)."""
    from scipy.stats import permutation_test

    if len(differences_N) < 2:
        return 1.0  # either sign is as far from 0 as the other
    found = permutation_test(
        (differences_N,),
        lambda flipped, axis: np.sum(flipped, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=100_000,
        rng=stream("sign-flip", len(differences_N)),
    )
    return float(found.pvalue)


def probability_of_improvement(x_N: FloatArray, y_M: FloatArray) -> float:
    """P(X > Y) + P(X = Y) / 2 over all pairs of seeds (Agarwal et al. 2021): the Mann-Whitney U over N x M."""
    return float(np.mean(x_N[:, None] > y_M) + np.mean(x_N[:, None] == y_M) / 2)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment, in the order given: reject where the result is below the level."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    worst = 0.0
    for rank, i in enumerate(order):
        worst = max(worst, (len(p_values) - rank) * p_values[i])
        adjusted[i] = min(1.0, worst)
    return [float(p) for p in adjusted]
