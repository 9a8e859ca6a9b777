"""Noise of a curve: the evaluation's own standard errors where they are known, else an estimate from the curve.

Noise of a training log is not white: batches come in an order, policies drift. So besides the size there is an AR(1)
correlation between neighbouring points, and everything that needs a null draws AR(1) noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from crestfall.analysis.trajectory import FloatArray
from crestfall.core.rng import stream

MAX_POINTS = 100
FEWEST_FOR_CORRELATION = 40
SHORT_CORRELATION = 0.75
MOST = 0.9
MEAN_OF_MOST = 0.6573
"""Mean of the smaller 90%."""
LEAST_OF_MOST = 0.4
FEW = 13
"""Below, a curve of unknown noise is short: see `sigma_of`."""
KEPT = 0.7
MEAN_OF_KEPT = 0.4737
"""Mean of the smaller 70% of |z| for a standard normal z: 2 (phi(0) - phi(1.0364)) / 0.7."""


@dataclass(frozen=True, eq=False)
class Noise:
    """`sigma_S`: standard deviation at each point. `correlation`: between neighbours. `known`: from counts."""

    sigma_S: FloatArray
    correlation: float
    known: bool


def noise_of(values_S: FloatArray, errors_S: FloatArray | None = None) -> Noise:
    """Known standard errors are taken as they are (independent evaluations), but never below the median of those that
    are not 0: an evaluation that happens to come out low claims to be exact. Unknown noise is estimated; correlated
    noise shows less in second differences, which is put right."""
    if errors_S is not None:
        floor = float(np.median(errors_S[errors_S > 0])) if (errors_S > 0).any() else 0.0
        return Noise(np.maximum(errors_S, floor), 0.0, known=True)
    rho = correlation(values_S)
    white = float(sigma_of(values_S[None])[0])
    sigma = white / np.sqrt((1.5 - 2 * rho + rho**2 / 2) / 1.5)
    return Noise(np.full(len(values_S), sigma), rho, known=False)


def robust_sigma(values_BS: FloatArray) -> FloatArray:
    """Noise of each row from its second differences: blind to trends, cliffs and single spikes.

    A point against the mean of its neighbours, e = y_t - (y_{t-1} + y_{t+1}) / 2, has variance 1.5 sigma^2 for white
    noise (Gasser, Sroka & Jennen-Steinmetz 1986). The mean of the smaller 70% of |e| is taken: a cliff or a spike is in
    the rest. A reward that is mostly 0 leaves nothing there: the smaller 90% count for 40% at least, which on Gaussian
    noise never matters. Fewer than 4 points: 0.
    """
    if values_BS.shape[1] < 4:
        return np.zeros(values_BS.shape[0])
    e_BS = np.sort(np.abs(second_differences(values_BS)), axis=1)
    size = e_BS.shape[1]
    trimmed_B = e_BS[:, : int(np.ceil(KEPT * size))].mean(axis=1) / MEAN_OF_KEPT
    most_B = e_BS[:, : int(np.ceil(MOST * size))].mean(axis=1) / MEAN_OF_MOST
    return np.asarray(np.maximum(trimmed_B, LEAST_OF_MOST * most_B) / np.sqrt(1.5))


def sigma_of(values_BS: FloatArray) -> FloatArray:
    """`robust_sigma`; in fewer than 13 points, where a cliff stands in most second differences, the scatter around two
    levels if that is less."""
    sigma_B = robust_sigma(values_BS)
    size = values_BS.shape[1]
    if not 4 <= size < FEW:
        return sigma_B
    within_B = np.min([_within(values_BS[:, :cut]) + _within(values_BS[:, cut:]) for cut in range(1, size)], axis=0)
    return np.asarray(np.minimum(sigma_B, np.sqrt(within_B / (size - 2))))


def _within(values_BS: FloatArray) -> FloatArray:
    return np.asarray(((values_BS - values_BS.mean(axis=1, keepdims=True)) ** 2).sum(axis=1))


def second_differences(values_BS: FloatArray) -> FloatArray:
    """Each inner point less the mean of its neighbours."""
    return np.asarray(values_BS[..., 1:-1] - (values_BS[..., :-2] + values_BS[..., 2:]) / 2)


def correlation(values_S: FloatArray) -> float:
    """Lag-1 correlation of the noise, within [0, 0.9], from residuals around one to three humps (a rise and a fall, a
    crash with a recovery, two of them). The smallest estimate counts: a shape that is wrong leaves itself in the
    residuals and looks like correlated noise.

    A fit that follows the noise leaves residuals less correlated than the noise: on simulated AR(1) curves of S points
    r = rho - (a + b rho) / S^(2/3), which is solved for rho. More humps follow more of it and scatter more, so c /
    sqrt(S), some one and a half standard errors, is added; a, b and c are in `_HUMPS`.

    Short curves hold little evidence of any: correlation is at least 0.75 (1 - S / 150), and below 40 points, where it
    cannot be told from shape at all, that.
    """
    size = len(values_S)
    least = SHORT_CORRELATION * (1 - size / 150)
    if size < FEWEST_FOR_CORRELATION:
        return least
    m, rho = size ** (2 / 3), 0.9
    for humps, (a, b, c) in _HUMPS.items():
        residual_S = values_S - _humps(values_S, humps)
        rho = min(rho, (_lag_1(residual_S) + a / m) / (1 - b / m) + c / np.sqrt(size))
        if rho <= least:
            return least
    return float(rho)


_HUMPS = {1: (1.5, 2.0, 0.9), 2: (2.8, 5.2, 2.5), 3: (3.6, 8.0, 3.5)}


def _lag_1(residual_S: FloatArray) -> float:
    total = float(residual_S @ residual_S)
    return float(residual_S[1:] @ residual_S[:-1]) / total if total > 0 else 0.0


def _humps(values_S: FloatArray, humps: int) -> FloatArray:
    """Unimodal fits, one after the other, split at the deepest valleys of the smoothed curve."""
    cuts = [0, len(values_S)]
    smooth_S = np.convolve(np.pad(values_S, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    for _ in range(humps - 1):
        found = [(*deepest_valley(smooth_S[a:b]), a) for a, b in pairwise(cuts) if b - a >= 6]
        if not found:
            break
        index, _, begin = max(found, key=lambda one: one[1])
        cuts = sorted({*cuts, begin + index})
    return np.concatenate([unimodal_fit(values_S[a:b]) for a, b in pairwise(cuts)])


def deepest_valley(smooth_S: FloatArray) -> tuple[int, float]:
    """The point at which the curve is farthest below the lower of its two sides, and the distance."""
    before_S = np.maximum.accumulate(smooth_S)
    after_S = np.maximum.accumulate(smooth_S[::-1])[::-1]
    depth_S = np.minimum(before_S, after_S) - smooth_S
    index = int(np.argmax(depth_S))
    return index, float(depth_S[index])


def unimodal_fit(values_S: FloatArray) -> FloatArray:
    """The least-squares curve that first does not fall and then does not rise (Stout 2008, by prefix errors)."""
    rising_S = isotonic_prefix_errors(values_S)
    falling_S = isotonic_prefix_errors(values_S[::-1])[::-1]
    split = int(np.argmin(rising_S + falling_S))
    return np.concatenate([_isotonic(values_S[:split]), _isotonic(values_S[split:][::-1])[::-1]])


def _isotonic(values_S: FloatArray) -> FloatArray:
    """The least-squares curve that does not fall: pool-adjacent-violators. (scipy's takes half a second to import.)"""
    blocks: list[tuple[float, int]] = []
    for value in values_S.tolist():
        mean, size = value, 1
        while blocks and blocks[-1][0] >= mean:
            left_mean, left_size = blocks.pop()
            mean = (mean * size + left_mean * left_size) / (size + left_size)
            size += left_size
        blocks.append((mean, size))
    return np.repeat([mean for mean, _ in blocks], [size for _, size in blocks]).astype(np.float64)


def isotonic_prefix_errors(values_S: FloatArray) -> FloatArray:
    """Squared error of the isotonic fit to the first i values, i = 0 ... S: pool-adjacent-violators, one value at a
    time."""
    blocks: list[tuple[float, int, float]] = []
    errors = [0.0]
    error = 0.0
    for value in values_S.tolist():
        mean, size, inside = value, 1, 0.0
        while blocks and blocks[-1][0] >= mean:
            left_mean, left_size, left_inside = blocks.pop()
            error -= left_inside
            inside += left_inside + (mean - left_mean) ** 2 * size * left_size / (size + left_size)
            mean = (mean * size + left_mean * left_size) / (size + left_size)
            size += left_size
        blocks.append((mean, size, inside))
        error += inside
        errors.append(error)
    return np.array(errors)


def ar1(rng: np.random.Generator, replicates: int, size: int, rho: float) -> FloatArray:
    """Stationary AR(1) Gaussian noise of unit variance, replicates x size."""
    noise_BS = rng.standard_normal((replicates, size))
    if rho:
        scale = np.sqrt(1 - rho**2)
        for t in range(1, size):
            noise_BS[:, t] = rho * noise_BS[:, t - 1] + scale * noise_BS[:, t]
    return noise_BS


@lru_cache(maxsize=64)
def unit_noise(name: str, replicates: int, size: int, twentieths: int) -> FloatArray:
    """`ar1` with a stream of its own, the correlation in twentieths: drawn once for all curves of one length."""
    noise_BS = ar1(stream(name, size), replicates, size, twentieths / 20)
    noise_BS.setflags(write=False)
    return noise_BS


def windows(size: int) -> list[int]:
    """The lengths 1, 2, 4, ... of windows that a scan looks at: less than `size`."""
    return [2**i for i in range(size.bit_length()) if 2**i < size]


def window_means(values_BS: FloatArray, lengths: Sequence[int]) -> dict[int, FloatArray]:
    """{length: the means of every so many successive points of each row, B x (S - length + 1)}."""
    sums_BS = np.concatenate([np.zeros((len(values_BS), 1)), np.cumsum(values_BS, axis=1)], axis=1)
    return {length: (sums_BS[:, length:] - sums_BS[:, :-length]) / length for length in lengths}


def bin_means(values_S: FloatArray, bins: int = MAX_POINTS) -> FloatArray:
    """Means of at most `bins` runs of neighbouring points of nearly equal length; a shorter curve as it is."""
    if len(values_S) <= bins:
        return values_S
    edges = np.linspace(0, len(values_S), bins + 1).astype(np.int64)
    sums = np.add.reduceat(values_S, edges[:-1])
    return np.asarray(sums / np.diff(edges), dtype=np.float64)
