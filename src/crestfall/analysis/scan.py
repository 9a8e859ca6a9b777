"""Did the curve really fall? A scan over all window lengths, with a p-value against the plateau null.

The statistic is the largest drop, in units of its own noise, from the mean of any window to the mean of the curve's
last stretch, over all windows and lengths (1, 2, 4, ...): short ones find cliffs, long ones slow declines. The null is
a plateau: one level, the curve's own noise (known, or AR(1) with the size estimated anew in each replicate, so that a
short curve pays for not knowing it). A plateau is the worst case of "it rose and did not fall": a rise before makes a
fall by chance less likely, so the p-value holds for every curve that never falls. A rise is the same read backwards.
Multiscale scans: Duembgen & Spokoiny, Annals of Statistics 29 (2001).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from crestfall.analysis.noise import Noise, ar1, robust_sigma
from crestfall.analysis.trajectory import FloatArray
from crestfall.core.rng import stream

REPLICATES = 999


def fall_statistic(values_BS: FloatArray, sigma_S: FloatArray) -> FloatArray:
    """max over earlier windows w and last stretches l of (mean_w - mean_l) / sd, one number per row.

    sd^2 = sum_w sigma^2 / w^2 + sum_l sigma^2 / l^2.
    """
    rows, size = values_BS.shape
    best_B = np.zeros(rows)
    sums_BS = np.concatenate([np.zeros((rows, 1)), np.cumsum(values_BS, axis=1)], axis=1)
    variances_S = np.concatenate([[0.0], np.cumsum(sigma_S**2)])
    lengths = [2**i for i in range(size.bit_length()) if 2**i < size]
    windows = {
        w: ((sums_BS[:, w:] - sums_BS[:, :-w]) / w, (variances_S[w:] - variances_S[:-w]) / w**2) for w in lengths
    }
    for last in lengths:
        means_BW, end_variances = windows[last]
        end_B1, end_variance = means_BW[:, -1:], end_variances[-1]
        for w in lengths:
            earlier = size - last - w + 1
            if earlier < 1:
                break
            means_BW, variances_W = windows[w]
            drops_BW = (means_BW[:, :earlier] - end_B1) / np.sqrt(variances_W[:earlier] + end_variance)
            best_B = np.maximum(best_B, drops_BW.max(axis=1))
    return best_B


def p_value_of_fall(values_S: FloatArray, noise: Noise, replicates: int = REPLICATES) -> float:
    """(1 + how many plateaus fall as much) / (1 + replicates). Fewer than 4 points of unknown noise: 1."""
    size = len(values_S)
    if size < 2 or (size < 4 and not noise.known):
        return 1.0
    tiny = 1e-9 * max(1e-300, float(np.max(np.abs(values_S))))
    if noise.known:
        sigma_S = np.maximum(noise.sigma_S, tiny)
        observed = fall_statistic(values_S[None], sigma_S)[0]
        plateaus_BS = ar1(stream("plateau", size), replicates, size, noise.correlation)
        null_B = fall_statistic(plateaus_BS * sigma_S, sigma_S)
    else:
        sigma = max(float(robust_sigma(values_S[None])[0]), tiny)
        observed = fall_statistic(values_S[None] / sigma, np.ones(size))[0]
        null_B = _null_of_unknown_noise(size, round(20 * noise.correlation), replicates)
    return float((1 + np.sum(null_B >= observed)) / (1 + replicates))


@lru_cache(maxsize=512)
def _null_of_unknown_noise(size: int, twentieths: int, replicates: int) -> FloatArray:
    """The statistic in units of estimated noise depends on length and correlation (in twentieths) alone."""
    plateaus_BS = ar1(stream("plateau", size), replicates, size, twentieths / 20)
    return fall_statistic(plateaus_BS / np.maximum(robust_sigma(plateaus_BS), 1e-9)[:, None], np.ones(size))


def p_value_of_rise(values_S: FloatArray, noise: Noise, replicates: int = REPLICATES) -> float:
    """Of a rise from the curve's first stretch to any later window: the fall of the curve read backwards."""
    backwards = Noise(noise.sigma_S[::-1], noise.correlation, noise.known)
    return p_value_of_fall(values_S[::-1], backwards, replicates)
