"""GRPO (Shao et al. 2024, DeepSeekMath): rewards standardised within the group, clipped ratios, a mean per sequence.

A_i = (r_i - mean_g r) / (std_g r + 1e-6), the same for every token of a completion. std is the group's own (divided by
G). With binary rewards and pass rate p the two values are sqrt((1 - p) / p) and -sqrt(p / (1 - p)): the rarer outcome
of a group counts more, and hard and easy problems more than those in between.

Libraries differ, and "out of the box" is not one rule. TRL 1.16: the sample std (divided by G - 1: 3% smaller
advantages with 16 samples), 1e-4 in the denominator, DAPO's token mean, no KL. The paper of GRPO has a KL of 0.04 to a
reference in the loss, by k3; libraries' defaults run from 0 to that. Here it is off: `kl: {name: fixed}` turns it on.

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

EPSILON = 1e-6
"""Keeps the division finite; no binary group with a signal has a std anywhere near it."""


@register("update", "grpo")
@dataclass(frozen=True, kw_only=True)
class GRPO(Clipped):
    """Group-relative policy optimisation: advantages standardised within each problem's group."""

    name: ClassVar[str]

    normalization: Normalization = "sequence_mean"
    """`sequence_mean` divides each sequence by its own length, as in the paper's formula: tokens of long completions
    count less."""

    def advantages(self, passed_PG: NDArray[np.bool_], state: State) -> Advantages:
        rewards_PG = passed_PG.astype(np.float64)
        mean_P1, std_P1 = rewards_PG.mean(axis=1, keepdims=True), rewards_PG.std(axis=1, keepdims=True)
        # Dividing a constant by epsilon would call a group without signal a baseline of a million.
        scale_P1 = np.where(std_P1 > 0, 1 / (std_P1 + EPSILON), 0.0)
        baseline_PG = np.broadcast_to(mean_P1 * scale_P1, rewards_PG.shape)
        return Advantages((rewards_PG - mean_P1) * scale_P1, baseline_PG, state)
