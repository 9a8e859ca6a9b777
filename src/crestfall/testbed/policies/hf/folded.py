"""Adapters added into the weights for as long as one samples: a token then costs what it costs without them.

Two more products a layer are little arithmetic and many kernels, and decoding is all waiting for kernels. The weights
are put back as they were, to the bit: the sums are other tensors. Only in float32, where the policy that samples is the
one that is scored, to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def folded(model: Any) -> Iterator[None]:
    layers = [layer for layer in model.modules() if _has_adapter(layer)]
    own = [layer.base_layer.weight.data for layer in layers]
    try:
        with torch.no_grad():
            for layer, weight in zip(layers, own, strict=True):
                adapters = list(layer.active_adapters)
                layer.base_layer.weight.data = weight + sum(layer.get_delta_weight(adapter) for adapter in adapters)
                layer.merged_adapters.extend(adapters)
        yield
    finally:
        for layer, weight in zip(layers, own, strict=True):
            layer.base_layer.weight.data = weight
            layer.merged_adapters.clear()


def _has_adapter(layer: Any) -> bool:
    """A linear layer of peft's with a LoRA adapter, in float32."""
    return (
        bool(getattr(layer, "lora_A", None))
        and isinstance(getattr(layer, "base_layer", None), torch.nn.Linear)
        and layer.base_layer.weight.dtype == torch.float32
    )
