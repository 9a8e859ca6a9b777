"""Dr. GRPO (Liu et al. 2025, "Understanding R1-Zero-Like Training"): GRPO without its two biases.

A_i = r_i - mean_g r: no division by the std, so that problems count alike; summed log-probs divided by a constant, the
token limit, so that lengths count alike. With one update a batch the gradient is that of REINFORCE with the group mean,
up to the constant.

Degenerate case: a group in which all rewards are equal gives no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from crestfall.core.registry import register
from crestfall.testbed.updates.base import Advantages, Normalization, State
from crestfall.testbed.updates.clipping import Clipped


@register("update", "dr_grpo")
@dataclass(frozen=True, kw_only=True)
class DrGRPO(Clipped):
    """GRPO without the std and with a constant normaliser."""

    name: ClassVar[str]

    normalization: Normalization = "constant"
    """`constant` divides by the token limit, as in the authors' code."""

    def advantages(self, passed_PG: NDArray[np.bool_], state: State) -> Advantages:
        rewards_PG = passed_PG.astype(np.float64)
        baseline_PG = np.broadcast_to(rewards_PG.mean(axis=1, keepdims=True), rewards_PG.shape)
        return Advantages(rewards_PG - baseline_PG, baseline_PG, state)
