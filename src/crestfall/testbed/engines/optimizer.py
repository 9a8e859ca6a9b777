"""The optimizers that an update may name, with warm-up, schedule and clipping.

The learning rate of an update is the configured one times factors, each with one owner:

factor      owner                                          goes on after a rollback
warmup      the rule, by updates since Adam was fresh      from the snapshot
schedule    the rule, by the campaign's step counter       yes: the counter is not turned back
control     controllers: a campaign's plan x rollbacks     yes, in the campaigns that follow too
pace        the rule's pace                                from the snapshot
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from crestfall.core.extras import require
from crestfall.testbed.updates.base import UpdateRule

GROUP_STATE = {
    "adamw": (),
    "schedule_free": ("k", "weight_sum", "lr_max"),
    "prodigy": ("k", "d", "d_max", "d_numerator"),
}
"""Numbers that an optimizer keeps for all weights together."""

_GROUP = "_group"
"""No parameter's name: what an optimizer keeps for all of them."""


class Optimizer:
    """Its state is a flat mapping of tensors that a snapshot can hold."""

    def __init__(self, rule: UpdateRule, parameters: Mapping[str, torch.nn.Parameter]) -> None:
        self.rule, self.parameters = rule, dict(parameters)
        self.rate = LearningRate(rule)
        self.reset()

    def reset(self) -> None:
        """Forget all moments."""
        self.adam = made(self.rule, self.parameters.values())
        self.updates = 0

    def forget(self) -> None:
        """Forget all moments, and go on counting updates."""
        self.adam = made(self.rule, self.parameters.values())

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
        return GROUP_STATE[self.rule.optimizer]


@dataclass
class LearningRate:
    """The factors in force. Every step's record names them (signals `rate_*`, `pace`), so that a rate can be
    explained."""

    rule: UpdateRule
    schedule: float = 1.0
    control: float = 1.0
    pace: float = 1.0

    @property
    def shortened(self) -> float:
        """Intended multiplier of the length of steps, whatever their size: a pace keeps to it."""
        return self.control * self.schedule

    def factor(self, updates: int) -> float:
        """The product of all factors, for the update after so many since Adam's state was fresh."""
        return self.rule.rate_factor * self.control * self.schedule * self.pace * self._warmup(updates)

    def at(self, updates: int) -> float:
        """The learning rate of that update; for an optimizer that finds its own, what that is multiplied by."""
        return (1.0 if self.rule.optimizer == "prodigy" else self.rule.learning_rate) * self.factor(updates)

    def signals(self, updates: int) -> dict[str, float]:
        """Signals of the last of so many updates. The pace has a signal of its own."""
        last = updates - 1
        return {
            "learning_rate": self.at(last),
            "rate_warmup": self._warmup(last),
            "rate_schedule": self.schedule,
            "rate_control": self.control,
        }

    def _warmup(self, updates: int) -> float:
        return min(1.0, (updates + 1) / max(1, self.rule.warmup_updates))


def made(rule: UpdateRule, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """A fresh one. Raises MissingExtraError where its package is not installed."""
    options: dict[str, Any] = {
        "lr": rule.learning_rate,
        "betas": (rule.beta1, rule.beta2),
        "eps": rule.epsilon,
        "weight_decay": rule.weight_decay,
    }
    out: torch.optim.Optimizer
    match rule.optimizer:
        case "adamw":
            out = torch.optim.AdamW(list(parameters), **options)
        case "schedule_free":
            require("schedulefree")
            from schedulefree import AdamWScheduleFree

            out = AdamWScheduleFree(list(parameters), **options)
        case "prodigy":
            require("prodigyopt")
            from prodigyopt import Prodigy

            out = Prodigy(list(parameters), **options | {"lr": 1.0}, safeguard_warmup=rule.warmup_updates > 0)
    return out


def begin(optimizer: Any) -> None:
    """Before the updates of a step: schedule-free AdamW takes gradients at other weights than it is evaluated at."""
    if hasattr(optimizer, "train"):
        optimizer.train()


def end(optimizer: Any) -> None:
    """After them."""
    if hasattr(optimizer, "eval"):
        optimizer.eval()
