"""Trainable weights and Adam's moments as a flat mapping of whole CPU tensors, and back onto whatever shards them.

A sharded tensor (FSDP2: a DTensor) is gathered to be saved and scattered from the first process to be restored; a
replicated one (DDP) is broadcast. All processes call these functions together; only the first one's values count, and
only it gets a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def trained(model: Any) -> dict[str, torch.nn.Parameter]:
    """The trainable parameters by name; one that has two names has its first."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def moments(parameters: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """`<parameter>.<moment>` of every parameter that has been updated."""
    for name, parameter in parameters.items():
        for moment, value in optimizer.state.get(parameter, {}).items():
            yield f"{name}.{moment}", value


@torch.no_grad()
def gathered(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whole copies on the CPU, in the first process; nothing in the others."""
    out = {}
    for name, tensor in tensors.items():
        whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if _first():
            out[name] = whole.detach().to("cpu", copy=True)
    return out


@torch.no_grad()
def put_back(tensors: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Overwrite each tensor with the value that the first process has for it."""
    for name, tensor in tensors.items():
        if isinstance(tensor, DTensor):
            whole = values[name] if _first() else torch.empty(tensor.shape, dtype=tensor.dtype)
            tensor.copy_(distribute_tensor(whole.to(tensor.device), tensor.device_mesh, tensor.placements))
            continue
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
