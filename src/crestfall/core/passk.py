"""pass@k from n samples of each problem: the unbiased estimate and an interval over problems."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class PassAtK:
    """`value`, and a 95% interval for the mean over problems like these."""

    k: int
    value: float
    low: float
    high: float


def estimate(n: int, passed: int, k: int) -> float:
    """P(at least one of k samples passes), from `passed` of `n`: 1 - C(n - passed, k) / C(n, k), without bias.

    Chen et al. 2021, "Evaluating Large Language Models Trained on Code", eq. 1.

    Raises:
        ValueError: not 0 <= passed <= n, or not 1 <= k <= n.
    """
    if not 0 <= passed <= n or not 1 <= k <= n:
        raise ValueError(f"pass@{k} cannot be estimated from {passed} passed of {n}")
    if n - passed < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - passed + 1, n + 1))


def pass_at_k(n_P: Sequence[int], passed_P: Sequence[int], k: int) -> PassAtK:
    """pass@k over problems.

    The interval is Wilson's score interval at the effective number of problems p (1 - p) / se^2, where se is the
    standard error of the mean over problems (Korn & Graubard 1998): it stays inside [0, 1] and is not empty where every
    problem passes.

    Args:
        n_P, passed_P: per problem, samples and how many of them passed.

    Raises:
        ValueError: no problems, or a problem with fewer than k samples.
    """
    values = [estimate(n, passed, k) for n, passed in zip(n_P, passed_P, strict=True)]
    if not values:
        raise ValueError("pass@k of no problems")
    count = len(values)
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / max(count - 1, 1) / count
    effective = min(mean * (1 - mean) / variance, 1e12) if variance > 0 else float(count)
    low, high = wilson(mean, effective)
    return PassAtK(k, mean, min(low, mean), max(high, mean))


def wilson(share: float, n: float, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval for a share of n (Wilson 1927)."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
