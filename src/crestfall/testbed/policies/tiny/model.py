"""A small causal transformer: RMSNorm, rotary positions, tied embeddings, squared ReLU.

A sequence is a prompt (the spec) and a completion. The prompt's keys and values are computed once per problem and
shared by all completions of its group, in sampling and in the gradient alike: only completions are computed per sample.

Shapes: P prompts, N completions, H heads, D head dimension, Tp prompt tokens, T completion tokens, E = H * D.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crestfall.testbed.policies.tiny.tokenizer import PAD

Angles = tuple[Tensor, Tensor]  # cosine and sine [B or 1, 1, T, D/2]


@dataclass(frozen=True)
class Shape:
    vocabulary: int
    width: int = 96
    layers: int = 3
    heads: int = 4
    positions: int = 256


@dataclass(frozen=True)
class Prefix:
    """Keys and values of P prompts for every layer, right-padded; `bias_PT` is 0 on real tokens and -inf on padding."""

    keys: list[Tensor]  # layers x [P, H, Tp, D]
    values: list[Tensor]
    bias_PT: Tensor
    lengths_P: Tensor

    def take(self, index: Tensor) -> Prefix:
        return Prefix(
            [k[index] for k in self.keys], [v[index] for v in self.values], self.bias_PT[index], self.lengths_P[index]
        )


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.norm_attention = nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm_mlp = nn.RMSNorm(width)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def project(self, x: Tensor, angles: Angles) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [B, H, T, D] of hidden states [B, T, E]; queries and keys rotated."""
        batch, length, _ = x.shape
        qkv = self.qkv(self.norm_attention(x)).view(batch, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        return rotate(q, angles), rotate(k, angles), v

    def merge(self, x: Tensor, attended: Tensor) -> Tensor:
        """Residual, then the MLP. `attended` is [B, H, T, D]."""
        x = x + self.out(attended.transpose(1, 2).reshape(x.shape))
        out: Tensor = x + self.down(F.relu(self.up(self.norm_mlp(x))).square())
        return out


def rotate(x: Tensor, angles: Angles) -> Tensor:
    """Rotary position embedding (arXiv 2104.09864)."""
    cos, sin = angles
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class TinyTransformer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width)
        half = shape.width // shape.heads // 2
        frequency = 10_000.0 ** (-torch.arange(half) / half)
        phase = torch.arange(shape.positions)[:, None] * frequency
        self.register_buffer("cos", phase.cos(), persistent=False)
        self.register_buffer("sin", phase.sin(), persistent=False)
        # Padding is never written. Finite, so that its entropy term p * log p is 0 and not NaN.
        never = torch.zeros(shape.vocabulary)
        never[PAD] = -1e9
        self.register_buffer("never", never, persistent=False)

    @property
    def blocks(self) -> list[Block]:
        return cast("list[Block]", list(self.layers))

    def initialise(self, generator: torch.Generator) -> None:
        """Normal(0, 0.02), outputs of residual branches scaled down by sqrt(2 * layers) (GPT-2)."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                scale = 0.02 / math.sqrt(2 * self.shape.layers) if "out" in name or "down" in name else 0.02
                nn.init.normal_(parameter, std=scale, generator=generator)

    def angles(self, positions_BT: Tensor) -> Angles:
        cos: Tensor = self.get_buffer("cos")[positions_BT][:, None]
        sin: Tensor = self.get_buffer("sin")[positions_BT][:, None]
        return cos, sin

    def logits(self, x: Tensor) -> Tensor:
        return F.linear(self.norm(x), self.embed.weight, self.get_buffer("never"))

    def prefix(self, prompts_PT: Tensor, lengths_P: Tensor) -> Prefix:
        """Keys and values of right-padded prompts."""
        positions = torch.arange(prompts_PT.shape[1], device=prompts_PT.device)
        angles = self.angles(positions[None])
        bias_PT = self.embed.weight.new_zeros(prompts_PT.shape)
        bias_PT.masked_fill_(positions >= lengths_P[:, None], -math.inf)
        x = self.embed(prompts_PT)
        keys, values = [], []
        for block in self.blocks:
            q, k, v = block.project(x, angles)
            keys.append(k)
            values.append(v)
            # Padding stands behind the prompt: causality alone keeps it out of every real token.
            x = block.merge(x, F.scaled_dot_product_attention(q, k, v, is_causal=True))
        return Prefix(keys, values, bias_PT, lengths_P)

    def completions(self, inputs_NT: Tensor, prefix_N: Prefix) -> Tensor:
        """Logits [N, T, V] of completions given each one's own prefix (already taken per row)."""
        length = inputs_NT.shape[1]
        positions = prefix_N.lengths_P[:, None] + torch.arange(length, device=inputs_NT.device)
        angles = self.angles(positions)
        causal = self.embed.weight.new_full((length, length), -math.inf).triu_(1)
        bias = torch.cat(
            (prefix_N.bias_PT[:, None, :].expand(-1, length, -1), causal.expand(len(inputs_NT), -1, -1)), dim=-1
        )[:, None]
        x = self.embed(inputs_NT)
        for block, prefix_k, prefix_v in zip(self.blocks, prefix_N.keys, prefix_N.values, strict=True):
            q, k, v = block.project(x, angles)
            k, v = torch.cat((prefix_k, k), dim=2), torch.cat((prefix_v, v), dim=2)
            x = block.merge(x, F.scaled_dot_product_attention(q, k, v, attn_mask=bias))
        return self.logits(x)
