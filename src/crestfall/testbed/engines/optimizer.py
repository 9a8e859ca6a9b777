"""An optimizer with warm-up, schedule and clipping, its state as a flat mapping of tensors that a snapshot can hold."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from crestfall.testbed.engines import optimizers
from crestfall.testbed.engines.learning_rate import LearningRate
from crestfall.testbed.updates.base import UpdateRule

_GROUP = "_group"
"""No parameter's name: what an optimizer keeps for all of them."""


class Optimizer:
    def __init__(self, rule: UpdateRule, parameters: Mapping[str, torch.nn.Parameter]) -> None:
        self.rule, self.parameters = rule, dict(parameters)
        self.rate = LearningRate(rule)
        self.reset()

    def reset(self) -> None:
        """Forget all moments."""
        self.adam = optimizers.made(self.rule, self.parameters.values())
        self.updates = 0

    def forget(self) -> None:
        """Forget all moments, and go on counting updates."""
        self.adam = optimizers.made(self.rule, self.parameters.values())

    def zero(self) -> None:
        self.adam.zero_grad(set_to_none=True)

    def grad_norm(self) -> float:
        return float(torch.nn.utils.get_total_norm([p.grad for p in self.parameters.values() if p.grad is not None]))

    def step(self) -> float:
        """One update. Returns the gradient's norm before clipping."""
        norm = self.grad_norm()
        if self.rule.clip_norm and norm > self.rule.clip_norm:
            for parameter in self.parameters.values():
                if parameter.grad is not None:
                    parameter.grad.mul_(self.rule.clip_norm / norm)
        self.adam.param_groups[0]["lr"] = self.rate.at(self.updates)
        self.updates += 1
        self.adam.step()
        return norm

    def state(self) -> dict[str, Tensor]:
        """`<parameter>.<moment>`, the count of updates and the optimizer's own numbers; empty moments of a fresh
        optimizer are absent."""
        group = self.adam.param_groups[0]
        out = {"updates": torch.tensor(self.updates)}
        out |= {f"{_GROUP}.{key}": torch.tensor(group[key], dtype=torch.float64) for key in self._numbers}
        for name, parameter in self.parameters.items():
            for moment, value in self.adam.state.get(parameter, {}).items():
                out[f"{name}.{moment}"] = torch.as_tensor(value)
        return out

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.reset()
        self.updates = int(state["updates"])
        for key, value in state.items():
            name, _, moment = key.rpartition(".")
            if name == _GROUP:
                self.adam.param_groups[0][moment] = int(value) if moment == "k" else float(value)
            elif moment == "step" and self.rule.optimizer == "prodigy":
                self.adam.state[self.parameters[name]][moment] = int(value)
            elif key != "updates":
                # Moments go where their parameter is; AdamW keeps its count of steps on the CPU.
                device = value.device if moment == "step" else self.parameters[name].device
                self.adam.state[self.parameters[name]][moment] = value.to(device, copy=True)

    @property
    def _numbers(self) -> tuple[str, ...]:
        return optimizers.GROUP_STATE[self.rule.optimizer]
