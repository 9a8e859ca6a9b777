"""Did the curve really fall? A scan over all window lengths, with a p-value against the plateau null.

The statistic is the largest drop, in units of its own noise, from the mean of any window to the mean of the curve's
last stretch, over all windows and lengths (1, 2, 4, ...): short ones find cliffs, long ones slow declines. The null is
a plateau: one level, the curve's own noise (known, or AR(1) with the size estimated anew in each replicate, so that a
short curve pays for not knowing it). A plateau is the worst case of "it rose and did not fall": a rise before makes a
fall by chance less likely, so the p-value holds for every curve that never falls. A rise is the same read backwards.
Multiscale scans: Duembgen & Spokoiny, Annals of Statistics 29 (2001).
"""

from __future__ import annotations

import numpy as np

from crestfall.analysis.noise import Noise, ar1, robust_sigma
from crestfall.analysis.trajectory import FloatArray

REPLICATES = 999


def fall_statistic(values_BS: FloatArray, sigma_BS: FloatArray) -> FloatArray:
    """max over earlier windows w and last stretches l of (mean_w - mean_l) / sd, one number per row.

    `sigma_BS` broadcasts against `values_BS`; sd^2 = sum_w sigma^2 / w^2 + sum_l sigma^2 / l^2.
    """
    rows, size = values_BS.shape
    best_B = np.zeros(rows)
    sums_BS = np.concatenate([np.zeros((rows, 1)), np.cumsum(values_BS, axis=1)], axis=1)
    variance_BS = np.broadcast_to(sigma_BS, values_BS.shape) ** 2
    variances_BS = np.concatenate([np.zeros((rows, 1)), np.cumsum(variance_BS, axis=1)], axis=1)
    lengths = [2**i for i in range(size.bit_length()) if 2**i < size]
    for last in lengths:
        cut = size - last
        end_B = (sums_BS[:, -1] - sums_BS[:, cut]) / last
        end_variance_B = (variances_BS[:, -1] - variances_BS[:, cut]) / last**2
        for w in lengths:
            if w > cut:
                break
            mean_BW = (sums_BS[:, w : cut + 1] - sums_BS[:, : cut + 1 - w]) / w
            variance_BW = (variances_BS[:, w : cut + 1] - variances_BS[:, : cut + 1 - w]) / w**2
            sd_BW = np.sqrt(variance_BW + end_variance_B[:, None])
            best_B = np.maximum(best_B, ((mean_BW - end_B[:, None]) / sd_BW).max(axis=1))
    return best_B


def p_value_of_fall(
    values_S: FloatArray, noise: Noise, rng: np.random.Generator, replicates: int = REPLICATES
) -> float:
    """(1 + how many plateaus fall as much) / (1 + replicates). Fewer than 4 points of unknown noise: 1."""
    size = len(values_S)
    if size < 2 or (size < 4 and not noise.known):
        return 1.0
    tiny = 1e-9 * max(1e-300, float(np.max(np.abs(values_S))))
    null_BS = ar1(rng, replicates, size, noise.correlation)
    if noise.known:
        sigma_S = np.maximum(noise.sigma_S, tiny)
        observed = fall_statistic(values_S[None], sigma_S)
        null_B = fall_statistic(null_BS * sigma_S, sigma_S)
    else:
        observed = fall_statistic(values_S[None], np.maximum(robust_sigma(values_S[None]), tiny)[:, None])
        null_B = fall_statistic(null_BS, np.maximum(robust_sigma(null_BS), 1e-9)[:, None])
    return float((1 + np.sum(null_B >= observed[0])) / (1 + replicates))


def p_value_of_rise(
    values_S: FloatArray, noise: Noise, rng: np.random.Generator, replicates: int = REPLICATES
) -> float:
    """Of a rise from the curve's first stretch to any later window: the fall of the curve read backwards."""
    backwards = Noise(noise.sigma_S[::-1], noise.correlation, noise.known)
    return p_value_of_fall(values_S[::-1], backwards, rng, replicates)
