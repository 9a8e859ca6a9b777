"""The optimizers that an update may name, and what of them a snapshot has to hold beside the weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from crestfall.core.extras import require
from crestfall.testbed.updates.base import UpdateRule

GROUP_STATE = {
    "adamw": (),
    "schedule_free": ("k", "weight_sum", "lr_max"),
    "prodigy": ("k", "d", "d_max", "d_numerator"),
}
"""Numbers that an optimizer keeps for all weights together."""


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
