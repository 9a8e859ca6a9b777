"""REINFORCE (Williams 1992): the reward less a baseline, times the score. No ratio, no clipping, no division by a std.

Degenerate cases: `none` with {0, 1} rewards only ever pushes up what passed (on-policy filtered fine-tuning); with a
batch in which all rewards are equal, every other baseline gives no gradient at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crestfall.core.registry import register
from crestfall.testbed.updates.base import Advantages, Rewards, State, UpdateRule


@register("update", "reinforce")
@dataclass(frozen=True, kw_only=True)
class Reinforce(UpdateRule):
    """REINFORCE with a binary reward and a choice of baselines."""

    name: ClassVar[str]

    baseline: Literal["none", "batch_mean", "group_mean", "running_mean"] = "batch_mean"
    """Baseline that is subtracted from the reward: nothing, the mean over the batch, over the problem's group, or an
    exponential mean over past steps. The paper does not say whether its naive REINFORCE has one."""
    reward: Literal["01", "pm1"] = "01"
    """Rewards of failed and passed: 0 and 1 (the paper's "binary"), or -1 and 1."""
    running_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the running mean: b <- decay * b + (1 - decay) * mean. It starts from the first batch's mean."""

    def advantages(self, passed_PG: NDArray[np.bool_], state: State) -> Advantages:
        rewards = passed_PG.astype(np.float64)
        if self.reward == "pm1":
            rewards = 2 * rewards - 1
        baseline, state = self._baseline(rewards, state)
        return Advantages(rewards - baseline, np.broadcast_to(baseline, rewards.shape), state)

    def _baseline(self, rewards: Rewards, state: State) -> tuple[Rewards, State]:
        match self.baseline:
            case "none":
                return np.zeros(()), state
            case "batch_mean":
                return np.asarray(rewards.mean()), state
            case "group_mean":
                return rewards.mean(axis=1, keepdims=True), state
            case "running_mean":
                # The baseline of a step must not contain its own rewards, or it is a batch mean in part.
                mean = float(rewards.mean())
                before = state.get("running_mean", mean)
                after = self.running_decay * before + (1 - self.running_decay) * mean
                return np.asarray(before), {"running_mean": after}
