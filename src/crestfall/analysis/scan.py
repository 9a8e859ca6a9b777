"""Did the curve really fall? A scan over all window lengths, with a p-value against the plateau null.

The statistic is the largest drop, in units of its own noise, from the mean of any window to the mean of the curve's
last stretch, over all windows and lengths (1, 2, 4, ...): short ones find cliffs, long ones slow declines. The null is
a plateau: one level, the curve's own noise (known, or AR(1) with the size estimated anew in each replicate, so that a
short curve pays for not knowing it). A plateau is the worst case of "it rose and did not fall": a rise before makes a
fall by chance less likely, so the p-value holds for every curve that never falls. A rise is the same read backwards.
Multiscale scans: Duembgen & Spokoiny, Annals of Statistics 29 (2001).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from crestfall.analysis.noise import FEW, Noise, ar1, second_differences, sigma_of, window_means, windows
from crestfall.analysis.trajectory import FloatArray
from crestfall.core.rng import stream

REPLICATES = 999
SHUFFLES = 199
SIGNIFICANCE = 0.05
QUESTIONS = 3
JUMPY = 1.3
MOSTLY = 0.5
TIED = 1e-9
"""Statistics that differ by less than this part are the same: values that are 0 or 1/8 have many equal orders."""
LONGEST_END = 5
"""The last stretch is a fifth of the curve at most: what a curve did before it came back is not its end."""


@dataclass(frozen=True)
class Movement:
    """`p_value`: of a fall (or rise), times the three questions that are asked of a curve (did it rise, fall, crash).
    `least`: the fall is at least this, at the same level: above 0 where the p-value is below 0.05, and only there."""

    p_value: float
    least: float


def fall_of(values_S: FloatArray, noise: Noise, replicates: int = REPLICATES) -> Movement:
    """Test of a fall to the curve's last stretch. Fewer than 4 points of unknown noise cannot be tested."""
    size = len(values_S)
    if size < 2 or (size < 4 and not noise.known):
        return Movement(1.0, -float(np.ptp(values_S)) if size else 0.0)
    sigma_S, null_B = _null(values_S, noise, replicates)
    p, least = _against(values_S, sigma_S, null_B)
    if p < SIGNIFICANCE / QUESTIONS and not noise.known and _is_odd(values_S, sigma_S[0]):
        scatter = float(_scatter(values_S[None])[0])
        of_shuffled = _against(values_S, np.full(size, scatter), _shuffled_null(values_S))
        p, least = max(p, of_shuffled[0]), min(least, of_shuffled[1])
    return Movement(min(1.0, QUESTIONS * p), least)


def _is_odd(values_S: FloatArray, sigma: float) -> bool:
    """Whether Gaussian noise cannot explain a curve (a reward that is mostly 0, a cliff): its second differences are
    much larger than its robust noise. A short curve, whose values have few permutations, is odd where half of the
    values are equal."""
    if len(values_S) < FEW:
        return bool(np.unique(values_S, return_counts=True)[1].max() >= MOSTLY * len(values_S))
    return float(_scatter(values_S[None])[0]) > JUMPY * sigma


def _against(values_S: FloatArray, sigma_S: FloatArray, null_B: FloatArray) -> tuple[float, float]:
    """The one-sided p-value against a null, and the least fall that it leaves possible."""
    drops = [(drop[0], sd) for drop, sd in _drops(values_S[None], sigma_S)]
    drop_W, sd_W = (np.concatenate(parts) for parts in zip(*drops, strict=True))
    observed = max(0.0, float(np.max(drop_W / sd_W)))
    return _p_value(observed, null_B), float(np.max(drop_W - _critical(null_B) * sd_W))


def rise_of(values_S: FloatArray, noise: Noise, replicates: int = REPLICATES) -> Movement:
    """Test of a rise from the curve's first stretch to any later window: the fall of the reversed curve."""
    backwards = Noise(noise.sigma_S[::-1], noise.correlation, noise.known)
    return fall_of(values_S[::-1], backwards, replicates)


def fall_statistic(values_BS: FloatArray, sigma_S: FloatArray) -> FloatArray:
    """max over earlier windows w and last stretches l of (mean_w - mean_l) / sd, one number per row.

    sd^2 = sum_w sigma^2 / w^2 + sum_l sigma^2 / l^2.
    """
    best_B = np.zeros(len(values_BS))
    for drops_BW, sd_W in _drops(values_BS, sigma_S):
        best_B = np.maximum(best_B, (drops_BW / sd_W).max(axis=1))
    return best_B


def _drops(values_BS: FloatArray, sigma_S: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Per pair of lengths: the drops from every earlier window to the last stretch, and their standard deviations."""
    size = values_BS.shape[1]
    lengths = windows(size)
    means = window_means(values_BS, lengths)
    variances = {w: means_1W[0] / w for w, means_1W in window_means(sigma_S[None] ** 2, lengths).items()}
    for last in (n for n in lengths if n <= max(2, size // LONGEST_END)):
        for w in (n for n in lengths if n <= size - last):
            earlier = size - last - w + 1
            drops_BW = means[w][:, :earlier] - means[last][:, -1:]
            yield drops_BW, np.sqrt(variances[w][:earlier] + variances[last][-1])


def _p_value(observed: float, null_B: FloatArray) -> float:
    return float((1 + np.sum(null_B >= observed * (1 - TIED))) / (1 + len(null_B)))


def _critical(null_B: FloatArray) -> float:
    """Critical value of the statistic: above it the p-value is below 0.05."""
    beyond = int(np.ceil(SIGNIFICANCE / QUESTIONS * (1 + len(null_B)))) - 1
    return float(np.sort(null_B)[::-1][max(beyond - 1, 0)]) * (1 + TIED)


def _null(values_S: FloatArray, noise: Noise, replicates: int) -> tuple[FloatArray, FloatArray]:
    """The standard deviations that the statistic is taken in, and the statistic on plateaus."""
    size = len(values_S)
    tiny = max(1e-9 * float(np.max(np.abs(values_S))), 1e-100)
    if noise.known:
        sigma_S = np.maximum(noise.sigma_S, tiny)
        plateaus_BS = ar1(stream("plateau", size), replicates, size, noise.correlation)
        return sigma_S, fall_statistic(plateaus_BS * sigma_S, sigma_S)
    sigma = max(float(sigma_of(values_S[None])[0]), tiny)
    return np.full(size, sigma), _null_of_unknown_noise(size, round(20 * noise.correlation), replicates)


@lru_cache(maxsize=512)
def _null_of_unknown_noise(size: int, twentieths: int, replicates: int) -> FloatArray:
    """The statistic in units of estimated noise depends on length and correlation (in twentieths) alone."""
    plateaus_BS = ar1(stream("plateau", size), replicates, size, twentieths / 20)
    return fall_statistic(plateaus_BS / np.maximum(sigma_of(plateaus_BS), 1e-9)[:, None], np.ones(size))


def _shuffled_null(values_S: FloatArray) -> FloatArray:
    """The curve's own values in any other order: a reward that is mostly 0 has jumps that no Gaussian has. Exact where
    nothing moves; where something does, shuffling makes noise of it, and the statistic small."""
    shuffles = SHUFFLES if len(values_S) >= FEW else REPLICATES
    shuffled_BS = stream("shuffled", len(values_S)).permuted(np.tile(values_S, (shuffles, 1)), axis=1)
    return fall_statistic(shuffled_BS / _scatter(shuffled_BS)[:, None], np.ones(len(values_S)))


def _scatter(values_BS: FloatArray) -> FloatArray:
    """Root mean square of the second differences of each row: unlike a robust estimate never 0 where anything moves."""
    rms_B = np.sqrt(np.mean(second_differences(values_BS) ** 2, axis=1) / 1.5)
    return np.asarray(np.maximum(rms_B, max(1e-9 * float(np.abs(values_BS).max()), 1e-100)))
