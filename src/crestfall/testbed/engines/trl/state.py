"""Trainable weights and Adam's moments as a flat mapping of CPU tensors, and back into every process.

All processes hold whole, equal tensors (DDP) and call these functions together. Only the first one gets a snapshot, and
only its values count: they are broadcast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def trained(model: Any) -> dict[str, torch.nn.Parameter]:
    """The trainable parameters by name; one that has two names has its first."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def moments(parameters: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """`<parameter>.<moment>` of every parameter that has been updated."""
    for name, parameter in parameters.items():
        for moment, value in optimizer.state.get(parameter, {}).items():
            yield f"{name}.{moment}", value


@torch.no_grad()
def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, in the first process; nothing in the others."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()} if _first() else {}


@torch.no_grad()
def put_back(tensors: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Overwrite each tensor with the value that the first process has for it."""
    for name, tensor in tensors.items():
        if _first():
            tensor.copy_(values[name])
        if _several():
            dist.broadcast(tensor, 0)


def put_back_moments(
    parameters: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, values: Mapping[str, Tensor]
) -> None:
    """Replace Adam's state. In all processes `values` has the same names, and every step counter (a scalar)."""
    optimizer.state.clear()
    tensors = {}
    for key, value in values.items():
        name, moment = key.rsplit(".", 1)
        state = optimizer.state[parameters[name]]
        if moment == "step":
            state[moment] = value.clone()
        else:
            state[moment] = tensors[key] = torch.zeros_like(parameters[name])
    put_back(tensors, values)


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _first() -> bool:
    return not _several() or dist.get_rank() == 0
