"""AdamW with warm-up, schedule and clipping, its state as a flat mapping of tensors that a snapshot can hold."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from crestfall.testbed.engines.learning_rate import LearningRate
from crestfall.testbed.updates.base import UpdateRule


class Optimizer:
    def __init__(self, rule: UpdateRule, parameters: Mapping[str, torch.nn.Parameter]) -> None:
        self.rule, self.parameters = rule, dict(parameters)
        self.rate = LearningRate(rule)
        self.reset()

    def reset(self) -> None:
        """Forget all moments."""
        rule = self.rule
        self.adam = torch.optim.AdamW(
            list(self.parameters.values()),
            lr=rule.learning_rate,
            betas=(rule.beta1, rule.beta2),
            eps=rule.epsilon,
            weight_decay=rule.weight_decay,
        )
        self.updates = 0

    def forget(self) -> None:
        """Forget all moments, and go on counting updates."""
        self.adam.state.clear()

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
        """`<parameter>.<moment>` and the count of updates; empty moments of a fresh optimizer are absent."""
        out = {"updates": torch.tensor(self.updates)}
        for name, parameter in self.parameters.items():
            for moment, value in self.adam.state.get(parameter, {}).items():
                out[f"{name}.{moment}"] = value
        return out

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.reset()
        self.updates = int(state["updates"])
        for key, value in state.items():
            if key != "updates":
                name, moment = key.rsplit(".", 1)
                # Moments go where their parameter is; AdamW keeps its count of steps on the CPU.
                device = value.device if moment == "step" else self.parameters[name].device
                self.adam.state[self.parameters[name]][moment] = value.to(device, copy=True)
