"""Fisher-weighted pull to an anchor: `updates.ewc` at work on a policy's weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from crestfall.testbed.policies.base import LoadedPolicy, Samples, TokenScores, distinct


@torch.no_grad()
def pull(
    parameters: Mapping[str, torch.nn.Parameter],
    anchor: Mapping[str, Tensor],
    fisher: Mapping[str, Tensor],
    strength: float,
) -> float:
    """Add strength x F (theta - anchor) to the gradients. Returns strength / 2 x sum of F (theta - anchor)^2."""
    total = 0.0
    for name, parameter in parameters.items():
        moved = parameter - anchor[name]
        force = strength * fisher[name] * moved
        parameter.grad = force if parameter.grad is None else parameter.grad + force
        total += float((force * moved).sum()) / 2
    return total


def diagonal_fisher(policy: LoadedPolicy, batches: Iterable[Samples], temperature: float) -> dict[str, Tensor]:
    """Mean over samples of the squared gradient of a completion's log-prob, weight by weight.

    `batches` are samples of the policy itself at `temperature`. Leaves no gradients behind.
    """
    parameters = policy.named_parameters()
    fisher = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    total = 0
    for samples in batches:
        rows = distinct(samples)
        total += len(samples.tokens_N)
        for row, count in enumerate(rows.count_R.tolist()):
            _clear(parameters)
            policy.accumulate(rows.take(np.array([row])), temperature, _log_prob)
            for name, parameter in parameters.items():
                if parameter.grad is not None:
                    fisher[name] += count * parameter.grad.square()
    _clear(parameters)
    return {name: value / total for name, value in fisher.items()}


def _log_prob(scores: TokenScores) -> Tensor:
    return (scores.logprobs_RT * scores.mask_RT).sum()


def _clear(parameters: Mapping[str, torch.nn.Parameter]) -> None:
    for parameter in parameters.values():
        parameter.grad = None
