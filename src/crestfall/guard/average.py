"""The average of a run's weights, which may replace the weights of one step as the final weights.

Averaging costs one copy of the trainable weights and no evaluation, and was the best of the arms that cost nothing in
this project's study (docs/study.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from crestfall.core.errors import ConfigError


class WeightAverage:
    """A mean of all weights that `update` has seen, or an exponential one (a <- decay a + (1 - decay) w).

    Trainable floating-point weights; in float32 or better. `Guard(..., hand_on=average)` puts it into the state, so
    that a rollback takes it back too, and into the model when training ends.

    Args:
        decay: of the exponential average, between 0 and 1; None: the plain mean.
    """

    def __init__(self, model: Any, decay: float | None = None) -> None:
        if decay is not None and not 0 < decay < 1:
            raise ConfigError(f"WeightAverage: decay={decay}; expected a number between 0 and 1")
        self._weights: Callable[[], Mapping[str, Any]] = lambda: trainable(model)
        self._decay, self._count = decay, 0
        self._average: dict[str, Any] = {}

    @classmethod
    def of(cls, weights: Callable[[], Mapping[str, Any]], decay: float | None = None) -> Self:
        """An average of the tensors that a function names."""
        average = cls(None, decay)
        average._weights = weights
        return average

    def update(self) -> None:
        """Take the weights in as they are now: once before training, then after every step."""
        import torch

        self._count += 1
        with torch.no_grad():
            for name, weight in self._weights().items():
                wide = weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
                if name not in self._average:
                    self._average[name] = wide.clone()
                    continue
                share = 1 / self._count if self._decay is None else 1 - self._decay
                self._average[name].lerp_(wide, share)

    def hand_on(self) -> None:
        """Put the average into the model. Without a single `update` the model stays as it is."""
        import torch

        with torch.no_grad():
            for name, weight in self._weights().items():
                if name in self._average:
                    weight.copy_(self._average[name])

    def state_dict(self) -> dict[str, Any]:
        return {"count": self._count, "average": dict(self._average)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._count = int(state["count"])
        weights = self._weights()  # without those that are frozen by now
        self._average = {
            n: value.to(weights[n].device) if n in weights else value for n, value in state["average"].items()
        }

    def tensors(self) -> dict[str, Any]:
        """A copy of the state in tensors alone, as a testbed's snapshot holds it: {"weights": by name, "count"}."""
        import torch

        weights = {name: value.clone() for name, value in self._average.items()}
        return {"weights": weights, "count": torch.tensor(self._count)}

    def load_tensors(self, state: Mapping[str, Any]) -> None:
        weights = {name: value.clone() for name, value in state["weights"].items()}
        self.load_state_dict({"count": state["count"], "average": weights})


def trainable(model: Any) -> dict[str, Any]:
    """Floating-point weights that are trained, by name."""
    return {n: p for n, p in model.named_parameters() if p.requires_grad and p.is_floating_point()}
