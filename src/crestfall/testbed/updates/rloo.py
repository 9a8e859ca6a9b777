"""RLOO (Kool et al. 2019; Ahmadian et al. 2024): REINFORCE whose baseline is the mean reward of the *other* samples.

A_i = r_i - mean_{j != i} r_j = G / (G - 1) (r_i - mean_g r). A sample's own reward is not in its baseline, so that the
gradient is unbiased: the group mean alone shrinks it by (G - 1) / G.

Degenerate case: a group in which all rewards are equal gives no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from crestfall.core.registry import register
from crestfall.testbed.updates.base import Advantages, State, UpdateRule


@register("update", "rloo")
@dataclass(frozen=True, kw_only=True)
class RLOO(UpdateRule):
    """REINFORCE with the leave-one-out baseline of the group."""

    name: ClassVar[str]

    def advantages(self, passed_PG: NDArray[np.bool_], state: State) -> Advantages:
        rewards_PG = passed_PG.astype(np.float64)
        others_PG = (rewards_PG.sum(axis=1, keepdims=True) - rewards_PG) / (passed_PG.shape[1] - 1)
        return Advantages(rewards_PG - others_PG, others_PG, state)
