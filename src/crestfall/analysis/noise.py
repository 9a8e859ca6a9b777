"""How noisy is a curve? Its evaluation's own standard errors where they are known, else what the curve itself shows.

Noise of a training log is not white: batches come in an order, policies drift. So besides the size there is an AR(1)
correlation between neighbouring points, and everything that needs a null draws AR(1) noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crestfall.analysis.trajectory import FloatArray

MAX_POINTS = 100
FEWEST_FOR_CORRELATION = 20
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
    """Known standard errors are taken as they are (independent evaluations), but not below what a proportion of 0 or
    1 leaves unsaid: never less than half the median of those that are not 0. Unknown noise is estimated; correlated
    noise shows less in second differences, which is put right."""
    if errors_S is not None:
        floor = float(np.median(errors_S[errors_S > 0])) / 2 if (errors_S > 0).any() else 0.0
        return Noise(np.maximum(errors_S, floor), 0.0, known=True)
    rho = correlation(values_S)
    white = float(robust_sigma(values_S[None])[0])
    sigma = white / np.sqrt((1.5 - 2 * rho + rho**2 / 2) / 1.5)
    return Noise(np.full(len(values_S), sigma), rho, known=False)


def robust_sigma(values_BS: FloatArray) -> FloatArray:
    """Noise of each row from its second differences: blind to trends, cliffs and single spikes.

    A point against the mean of its neighbours, e = y_t - (y_{t-1} + y_{t+1}) / 2, has variance 1.5 sigma^2 for white
    noise (Gasser, Sroka & Jennen-Steinmetz 1986). The mean of the smaller 70% of |e| is taken: a cliff or a spike is in
    the rest. Fewer than 4 points: 0.
    """
    if values_BS.shape[1] < 4:
        return np.zeros(values_BS.shape[0])
    e_BS = np.sort(np.abs(values_BS[:, 1:-1] - (values_BS[:, :-2] + values_BS[:, 2:]) / 2), axis=1)
    kept_BS = e_BS[:, : int(np.ceil(KEPT * e_BS.shape[1]))]
    return np.asarray(kept_BS.mean(axis=1) / (MEAN_OF_KEPT * np.sqrt(1.5)))


def correlation(values_S: FloatArray) -> float:
    """Lag-1 correlation of the residuals around a rise and a fall, within [0, 0.9].

    A fit that follows the noise leaves residuals less correlated than the noise: on simulated AR(1) curves of 20 to 200
    points r = rho - (1.5 + 2 rho) / S^(2/3), which is solved for rho. Below 20 points correlation cannot be told from
    shape and is taken as 0.
    """
    size = len(values_S)
    if size < FEWEST_FOR_CORRELATION:
        return 0.0
    residual_S = values_S - unimodal_fit(values_S)
    total = float(residual_S @ residual_S)
    if total == 0:
        return 0.0
    r = float(residual_S[1:] @ residual_S[:-1]) / total
    m = size ** (2 / 3)
    return float(np.clip((r + 1.5 / m) / (1 - 2 / m), 0.0, 0.9))


def unimodal_fit(values_S: FloatArray) -> FloatArray:
    """The least-squares curve that first does not fall and then does not rise (Stout 2008, by prefix errors)."""
    from scipy.optimize import isotonic_regression

    rising_S = isotonic_prefix_errors(values_S)
    falling_S = isotonic_prefix_errors(values_S[::-1])[::-1]
    split = int(np.argmin(rising_S + falling_S))
    rise_S = isotonic_regression(values_S[:split]).x if split else values_S[:0]
    fall_S = isotonic_regression(values_S[split:], increasing=False).x if split < len(values_S) else values_S[:0]
    return np.concatenate([rise_S, fall_S])


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
    from scipy.signal import lfilter

    white_BS = rng.standard_normal((replicates, size))
    white_BS[:, 1:] *= np.sqrt(1 - rho**2)
    return np.asarray(lfilter([1.0], [1.0, -rho], white_BS, axis=1)) if rho else white_BS


def bin_means(values_S: FloatArray, bins: int = MAX_POINTS) -> FloatArray:
    """Means of at most `bins` runs of neighbouring points of nearly equal length; a shorter curve as it is."""
    if len(values_S) <= bins:
        return values_S
    edges = np.linspace(0, len(values_S), bins + 1).astype(np.int64)
    sums = np.add.reduceat(values_S, edges[:-1])
    return np.asarray(sums / np.diff(edges), dtype=np.float64)
