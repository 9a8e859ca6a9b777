"""Two runs side by side: what is set differently, where they differ by more than noise, and which signal did first.

The difference of two curves at the steps that both have is compared with noise of its own size and correlation: means
of its last 1, 2, 4 ... points, each in units of its own scatter, and the largest of all of them anywhere against the
same on simulated noise. So two runs that differ in nothing but noise are said to differ in 5% of cases, however long
they are and however many widths are tried. Means look back only: the first step that is named lies at or after the
first real difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from crestfall.analysis.importers.text import flat
from crestfall.analysis.noise import FEW, ar1, noise_of, window_means
from crestfall.analysis.trajectory import FloatArray, IntArray, Series, Trajectory, read_run
from crestfall.core.rng import stream
from crestfall.store.layout import is_run

ALPHA = 0.05
REPLICATES = 1999
MOST_POINTS = 200
"""More are averaged, neighbours together."""
SPIKE = 5.0
"""Standard deviations beyond which a single difference counts no more: gradient norms have heavy tails."""
FEWEST_UNKNOWN = 5
"""Common points of unknown noise below which nothing can be said."""


@dataclass(frozen=True)
class Parting:
    """`step`: the first at which the difference is more than noise explains, None where it never is. `p_value`: of the
    largest difference anywhere. `difference`: of the means of the points from that step on (B less A). `points`: how
    many steps both runs have. `judged`: whether there were enough of them. `noise_known`: whether sample counts told
    the noise, without which short curves hide large differences."""

    step: int | None
    p_value: float
    difference: float
    points: int
    judged: bool
    noise_known: bool


@dataclass(frozen=True)
class Diff:
    """`score`: where the judged curves part. `signals`: those companions that part by more than noise, first ones
    first, with the level corrected for how many were looked at (`compared`)."""

    score: Parting
    signals: tuple[tuple[str, Parting], ...]
    compared: int

    @property
    def first(self) -> str | None:
        """Name of the first signal that differed, `score`, or None. At the same step the score goes last, since the
        signals might explain it."""
        parted = [(p.step, 0, name) for name, p in self.signals if p.step is not None]
        if self.score.step is not None:
            parted.append((self.score.step, 1, "score"))
        return min(parted)[2] if parted else None


def diff(a: Trajectory, b: Trajectory) -> Diff:
    """Compare two runs at the steps that both have."""
    score = parting(
        Series(a.steps_S, a.judged_S), Series(b.steps_S, b.judged_S), a.judged_error_S, b.judged_error_S, ALPHA
    )
    names = sorted(a.signals.keys() & b.signals.keys())
    found = [
        (name, parting(a.signals[name], b.signals[name], None, None, ALPHA / max(1, len(names)))) for name in names
    ]
    parted = [(name, p) for name, p in found if p.step is not None]
    return Diff(score, tuple(sorted(parted, key=lambda one: (one[1].step, one[0]))), len(names))


def parting(
    a: Series, b: Series, a_error_S: FloatArray | None, b_error_S: FloatArray | None, alpha: float = ALPHA
) -> Parting:
    """The step at which B leaves A. `..._error_S`: standard errors of the two curves, if known."""
    steps_S, at_a, at_b = np.intersect1d(a.steps_S, b.steps_S, return_indices=True)
    gap_S = b.values_S[at_b] - a.values_S[at_a]
    known = a_error_S is not None and b_error_S is not None
    if not len(steps_S) or (len(steps_S) < FEWEST_UNKNOWN and not known):
        return Parting(None, 1.0, 0.0, len(steps_S), judged=False, noise_known=known)
    error_S = np.hypot(a_error_S[at_a], b_error_S[at_b]) if a_error_S is not None and b_error_S is not None else None
    judged_S, judged_at, judged_error_S = _averaged(gap_S, steps_S, error_S)
    index, p_value = _first(judged_S, judged_error_S, alpha)
    if index is None:
        return Parting(None, p_value, float(gap_S.mean()), len(steps_S), judged=True, noise_known=known)
    step = int(judged_at[index])
    return Parting(step, p_value, float(gap_S[steps_S >= step].mean()), len(steps_S), judged=True, noise_known=known)


def _averaged(gap_S: FloatArray, steps_S: IntArray, error_S: FloatArray | None) -> tuple[Any, Any, Any]:
    """At most `MOST_POINTS` points: means of neighbours, each at the last of their steps."""
    size = -(-len(gap_S) // MOST_POINTS)
    if size == 1:
        return gap_S, steps_S, error_S
    starts = np.arange(0, len(gap_S), size)
    sizes = np.diff(np.append(starts, len(gap_S)))
    ends = starts + sizes - 1
    means_S = np.add.reduceat(gap_S, starts) / sizes
    errors_S = None if error_S is None else np.sqrt(np.add.reduceat(error_S**2, starts)) / sizes
    return means_S, steps_S[ends], errors_S


def _first(gap_S: FloatArray, error_S: FloatArray | None, alpha: float) -> tuple[int | None, float]:
    """Index of the first difference beyond the noise, and the p-value of the largest one."""
    if not gap_S.any():
        return None, 1.0
    noise = noise_of(gap_S, error_S)
    sigma_S = noise.sigma_S
    if not noise.known:
        sigma_S = sigma_S * (1 + 2 / np.sqrt(len(gap_S)))  # an estimate from few points is too small half of the time
    with np.errstate(divide="ignore", invalid="ignore"):
        z_S = np.nan_to_num(gap_S / sigma_S, posinf=SPIKE, neginf=-SPIKE)
    # A spike of unknown noise may be its tail; what is known to be Gaussian needs no clipping.
    z_S = z_S if noise.known else np.clip(z_S, -SPIKE, SPIKE)
    widths = _widths(len(z_S), noise.known)
    largest_B, scales = _null(len(z_S), widths, round(float(noise.correlation), 2))
    bar = float(np.quantile(largest_B, 1 - alpha))
    beyond_S, largest = np.zeros(len(z_S), dtype=bool), 0.0
    for (width, means_BS), scale in zip(window_means(z_S[None], widths).items(), scales, strict=True):
        means_S = np.abs(means_BS[0]) / scale
        beyond_S[width - 1 :] |= means_S > bar
        largest = max(largest, float(means_S.max()))
    p_value = float((1 + np.sum(largest_B >= largest)) / (1 + REPLICATES))
    return (int(np.argmax(beyond_S)) if beyond_S.any() else None), p_value


@lru_cache(maxsize=64)
def _null(size: int, widths: tuple[int, ...], rho: float) -> tuple[FloatArray, tuple[float, ...]]:
    """The null distribution of noise alone: the largest mean of any width in each replicate, in units of the scatter of
    its width; and these scatters."""
    null_BS = ar1(stream("parting", size), REPLICATES, size, rho)
    means = window_means(null_BS, widths).values()
    scales = tuple(float(means_BS.std()) for means_BS in means)
    largest = [np.abs(means_BS).max(axis=1) / scale for means_BS, scale in zip(means, scales, strict=True)]
    return np.max(largest, axis=0), scales


def _widths(size: int, known: bool) -> tuple[int, ...]:
    """The widths of means. With unknown noise never a single point, unless there are very few."""
    least = 1 if known or size < FEW else 4
    return tuple(width for width in (1, 2, 4, 8, 16, 32) if least <= width <= max(1, size // 2))


def settings(a: Path, b: Path) -> dict[str, tuple[Any, Any]] | None:
    """Options that differ between two run directories: {dotted key: (value in a, value in b)}, None for an option that
    one of them lacks. Returns None if one of the two is no run directory."""
    if not (is_run(a) and is_run(b)):
        return None
    one, other = (dict(flat(read_run(path).config, between=".")) for path in (a, b))
    keys = sorted(one.keys() | other.keys())
    return {key: (one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)}
