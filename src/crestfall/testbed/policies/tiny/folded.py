"""The transformer's weights as the fast paths use them: what multiplies a weight is multiplied in beforehand.

Norms are scale-free (their weights sit in the linear maps behind them), queries carry the 1 / sqrt(D) of attention, and
the two halves of each rotated pair stand side by side, so that a rotation is one complex product. Differentiable: a
gradient arrives at the model's own parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from crestfall.testbed.policies.tiny.model import Block, TinyTransformer


@dataclass(frozen=True)
class Layer:
    """Weights [out, in]. `qkv`: [3E, E], queries, keys, values; of the first two the outputs are ordered (head, pair,
    half)."""

    qkv: Tensor
    out: Tensor
    up: Tensor
    down: Tensor


@dataclass(frozen=True)
class Folded:
    layers: list[Layer]
    embed: Tensor  # [V, E]
    head: Tensor  # [V, E], divided by the temperature
    never: Tensor  # [V], added to the logits
    turns: Tensor  # [positions, 1, D/2] complex: the rotation at each position
    heads: int

    @property
    def device(self) -> torch.device:
        return self.embed.device

    def turn(self, x: Tensor, turns: Tensor) -> Tensor:
        """Rotate queries or keys [M, E] by `turns` [M or 1, 1, D/2]."""
        pairs = torch.view_as_complex(x.view(len(x), self.heads, -1, 2))
        return torch.view_as_real(pairs * turns).view(x.shape)

    def logits(self, x: Tensor) -> Tensor:
        """Logits over the temperature, [M, V] of hidden states [M, E]."""
        return F.linear(normed(x), self.head, self.never)


def fold(model: TinyTransformer, temperature: float) -> Folded:
    turns = torch.complex(model.get_buffer("cos"), model.get_buffer("sin"))[:, None]
    head = model.embed.weight * (model.norm.weight / temperature)
    layers = [_layer(block) for block in model.blocks]
    return Folded(layers, model.embed.weight, head, model.get_buffer("never"), turns, model.shape.heads)


def _layer(block: Block) -> Layer:
    q, k, v = (block.qkv.weight * block.norm_attention.weight).chunk(3)
    q = q / math.sqrt(len(q) // block.heads)
    qkv = torch.cat((_pairs(q, block.heads), _pairs(k, block.heads), v))
    return Layer(qkv, block.out.weight, block.up.weight * block.norm_mlp.weight, block.down.weight)


def _pairs(weight: Tensor, heads: int) -> Tensor:
    """Outputs (head, half, pair) to (head, pair, half)."""
    return weight.view(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def normed(x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:])


def split(weights: Folded, layer: Layer, x: Tensor, turns: Tensor) -> Tensor:
    """Queries, keys and values [3, M, H, D] of hidden states [M, E], the first two rotated. Without gradient."""
    qkv = normed(x) @ layer.qkv.T
    pairs = qkv[:, : 2 * x.shape[1]].view(len(x), 2 * weights.heads, -1, 2)
    torch.view_as_complex(pairs).mul_(turns)
    return qkv.view(len(x), 3, weights.heads, -1).transpose(0, 1)
