"""Prompts, read once: their keys and values, and what is written first behind each.

Shapes: P prompts, H heads, D head dimension, S columns: the longest prompt and CODE. Prompts stand at the right, so
that all of them write into the same column next; rotary positions are relative, and a column will do for a position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from crestfall.testbed.policies.tiny.folded import Folded, Layer, normed, split
from crestfall.testbed.policies.tiny.tokenizer import CODE

HIDDEN = -1e30
"""Added to the score of a column that is not to be seen. Finite: padding, which sees nothing, must not become NaN."""


@dataclass(frozen=True)
class Prompts:
    """`keys_T` and `values` [layers, P * H, ...]: [D, S] and [S, D]; `bias` [P, 1, 1, S] hides padding."""

    keys_T: Tensor
    values: Tensor
    bias: Tensor


def read(weights: Folded, prompts: Sequence[Sequence[int]]) -> tuple[Prompts, Tensor]:
    """The prompts' keys and values, and the logits [P, V] of the first token to write."""
    columns = max(map(len, prompts)) + 1
    token_PS = np.full((len(prompts), columns), CODE, dtype=np.int64)
    padding_PS = np.zeros(token_PS.shape, dtype=np.bool_)
    for p, prompt in enumerate(prompts):
        token_PS[p, columns - 1 - len(prompt) : -1] = prompt
        padding_PS[p, : columns - 1 - len(prompt)] = True
    hidden = torch.from_numpy(padding_PS).to(weights.device)
    bias = torch.zeros(token_PS.shape, device=weights.device).masked_fill_(hidden, HIDDEN)[:, None, None]
    mask = bias + bias.new_full((columns, columns), HIDDEN).triu_(1)
    turns = weights.turns[:columns].repeat(len(prompts), 1, 1)
    x = F.embedding(torch.from_numpy(token_PS).to(weights.device).flatten(), weights.embed)
    keys_T, values = [], []
    for layer in weights.layers:
        q, k, v = split(weights, layer, x, turns).view(3, len(prompts), columns, weights.heads, -1).transpose(2, 3)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
        x = merged(layer, x, attended.transpose(1, 2).reshape(x.shape))
        keys_T.append(k.transpose(2, 3).flatten(0, 1))
        values.append(v.flatten(0, 1))
    return Prompts(torch.stack(keys_T), torch.stack(values), bias), weights.logits(x[columns - 1 :: columns])


def merged(layer: Layer, x: Tensor, attended: Tensor) -> Tensor:
    """Residuals, in place where the model's own forward pass keeps copies for a gradient."""
    x = torch.addmm(x, attended, layer.out.T)
    return torch.addmm(x, (normed(x) @ layer.up.T).relu_().square_(), layer.down.T)
