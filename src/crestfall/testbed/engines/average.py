"""The running average of a campaign's weights, step 0 included, which `campaign.hand_on` may make the final weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor


class WeightAverage:
    """`mean`: of the weights after steps 0, 1, ..., t. `ema`: a <- decay a + (1 - decay) w, starting at step 0's."""

    def __init__(self, kind: Literal["mean", "ema"], decay: float, weights: Mapping[str, Tensor]) -> None:
        self.kind, self.decay = kind, decay
        self.reset(weights)

    def reset(self, weights: Mapping[str, Tensor]) -> None:
        """Start anew from these weights."""
        self.weights = {name: weight.detach().clone() for name, weight in weights.items()}
        self.count = 1

    @torch.no_grad()
    def add(self, weights: Mapping[str, Tensor]) -> None:
        self.count += 1
        share = 1 / self.count if self.kind == "mean" else 1 - self.decay
        for name, average in self.weights.items():
            average.lerp_(weights[name], share)

    def state(self) -> dict[str, Any]:
        """`weights` by name, and the count of weights averaged."""
        weights = {name: weight.clone() for name, weight in self.weights.items()}
        return {"weights": weights, "count": torch.tensor(self.count)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Load from a snapshot of any device. The average stays on the device of the weights."""
        for name, average in self.weights.items():
            average.copy_(state["weights"][name])
        self.count = int(state["count"])
