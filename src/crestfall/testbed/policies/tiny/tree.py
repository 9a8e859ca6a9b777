"""Completions scored as a tree: what several of a problem's completions begin with is computed once.

A node is a problem and the tokens read so far: those of the prompt, then those of a completion's beginning. The
linear maps, nine tenths of the work, run over the nodes, without any padding; attention runs over whole
completions, which find their queries, keys and values among the nodes. Sampling shares beginnings in the same way
(`decode`), and so does the gradient here: it is that of every completion by itself.

Shapes: P problems, Tp prompt tokens, R completions of T tokens at most, S = Tp + T, M nodes (prompts first).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from crestfall.testbed.policies import padding
from crestfall.testbed.policies.base import IntArray
from crestfall.testbed.policies.tiny.folded import Folded, Layer, normed
from crestfall.testbed.policies.tiny.tokenizer import CODE, PAD


@dataclass(frozen=True)
class Tree:
    """`node_*` name nodes, 0 where there is padding; `home_M` says where attention's answer for a node stands among
    those of [P * Tp] prompt tokens and [R * T] completion tokens."""

    token_M: Tensor
    position_M: Tensor
    home_M: Tensor
    prompt_nodes: int
    node_PT: Tensor
    node_RT: Tensor
    node_RS: Tensor
    hidden_RTS: Tensor  # -inf where a completion's token does not look
    target_RT: Tensor
    mask_RT: Tensor

    def to(self, device: torch.device) -> Tree:
        """The same tree on another device, or itself."""
        if device == self.token_M.device:
            return self
        tensors = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "prompt_nodes"}
        return Tree(prompt_nodes=self.prompt_nodes, **tensors)


def grow(prompts: Sequence[Sequence[int]], problem_R: IntArray, completions: Sequence[IntArray]) -> Tree:
    """The tree of completions that are sorted so that equal beginnings of a problem stand together.

    `problem_R` says to which of the prompts each belongs.
    """
    prompt_PT, prompt_length_P = (x.numpy() for x in padded(prompts))
    target_RT, length_R = (x.numpy() for x in padded(completions))
    rows, longest = target_RT.shape
    input_RT = np.concatenate((np.full((rows, 1), CODE), target_RT[:, :-1]), axis=1)
    mask_RT = np.arange(longest) < length_R[:, None]
    mask_PT = np.arange(prompt_PT.shape[1]) < prompt_length_P[:, None]

    shared_RT = np.zeros(mask_RT.shape, dtype=np.bool_)
    equal = (input_RT[1:] == input_RT[:-1]) & mask_RT[:-1] & (problem_R[1:] == problem_R[:-1])[:, None]
    shared_RT[1:] = np.logical_and.accumulate(equal, axis=1)
    new_RT = mask_RT & ~shared_RT
    prompt_nodes = int(prompt_length_P.sum())
    # A shared token's node is the last one made in its column: all rows in between share it too.
    node_RT = np.where(new_RT, prompt_nodes - 1 + new_RT.cumsum().reshape(new_RT.shape), 0)
    node_RT = np.maximum.accumulate(node_RT, axis=0) * mask_RT
    node_PT = (mask_PT.cumsum().reshape(mask_PT.shape) - 1) * mask_PT

    position_RT = prompt_length_P[problem_R][:, None] + np.arange(longest)
    seen_RTS = np.zeros((rows, longest, prompt_PT.shape[1] + longest), dtype=np.bool_)
    seen_RTS[:, :, : prompt_PT.shape[1]] = mask_PT[problem_R][:, None]
    seen_RTS[:, :, prompt_PT.shape[1] :] = np.tri(longest, dtype=np.bool_)
    return Tree(
        token_M=torch.from_numpy(np.concatenate((prompt_PT[mask_PT], input_RT[new_RT]))),
        position_M=torch.from_numpy(np.concatenate((np.nonzero(mask_PT)[1], position_RT[new_RT]))),
        home_M=torch.from_numpy(np.concatenate((np.flatnonzero(mask_PT), mask_PT.size + np.flatnonzero(new_RT)))),
        prompt_nodes=prompt_nodes,
        node_PT=torch.from_numpy(node_PT),
        node_RT=torch.from_numpy(node_RT),
        node_RS=torch.from_numpy(np.concatenate((node_PT[problem_R], node_RT), axis=1)),
        hidden_RTS=torch.zeros(seen_RTS.shape).masked_fill_(torch.from_numpy(~seen_RTS), -math.inf),
        target_RT=torch.from_numpy(target_RT),
        mask_RT=torch.from_numpy(mask_RT).float(),
    )


def score(weights: Folded, tree: Tree) -> tuple[Tensor, Tensor]:
    """Log-probs [R, T] of the completions' tokens, and the entropies (no gradient) of what they were drawn from."""
    turns = weights.turns[tree.position_M]
    x = F.embedding(tree.token_M, weights.embed)
    for layer in weights.layers:
        x = x + F.linear(_attend(weights, layer, normed(x), turns, tree), layer.out)
        x = x + F.linear(squared_relu(F.linear(normed(x), layer.up)), layer.down)
    log_p = weights.logits(x[tree.prompt_nodes :]).log_softmax(dim=-1)
    node_RT = (tree.node_RT - tree.prompt_nodes).clamp_min_(0)
    with torch.no_grad():
        entropy_M = -(log_p.exp() * log_p).sum(dim=-1)
    at = (node_RT * log_p.shape[1] + tree.target_RT).flatten()
    logprobs_RT = log_p.flatten().gather(0, at).view(node_RT.shape)
    return logprobs_RT * tree.mask_RT, entropy_M[node_RT] * tree.mask_RT


def _attend(weights: Folded, layer: Layer, x: Tensor, turns: Tensor, tree: Tree) -> Tensor:
    """Attention output of each node over those before it, [M, E]."""
    query, key, value = layer.qkv.chunk(3)
    q, k, v = weights.turn(F.linear(x, query), turns), weights.turn(F.linear(x, key), turns), F.linear(x, value)

    def heads(node: Tensor, of: Tensor) -> Tensor:
        # An embedding is a look-up whose gradient is cheap.
        return F.embedding(node, of).view(*node.shape, weights.heads, -1).transpose(1, 2)

    in_prompt = F.scaled_dot_product_attention(
        heads(tree.node_PT, q), heads(tree.node_PT, k), heads(tree.node_PT, v), is_causal=True, scale=1.0
    )
    in_completion = F.scaled_dot_product_attention(
        heads(tree.node_RT, q),
        heads(tree.node_RS, k),
        heads(tree.node_RS, v),
        attn_mask=tree.hidden_RTS[:, None],
        scale=1.0,
    )
    both = [attended.transpose(1, 2).reshape(-1, x.shape[1]) for attended in (in_prompt, in_completion)]
    return F.embedding(tree.home_M, torch.cat(both))


class _SquaredReLU(torch.autograd.Function):
    """relu(x) ** 2 that keeps one tensor for the gradient, and not two."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        root = x.relu()
        ctx.save_for_backward(root)
        return root.square()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        root: Tensor = ctx.saved_tensors[0]
        return (gradient * root).mul_(2)


def squared_relu(x: Tensor) -> Tensor:
    out: Tensor = _SquaredReLU.apply(x)  # type: ignore[no-untyped-call]
    return out


def padded(sequences: Sequence[Sequence[int] | IntArray]) -> tuple[Tensor, Tensor]:
    """Right-padded ids [B, T] and lengths [B]."""
    ids, mask = padding.padded(sequences, PAD)
    return ids, mask.sum(1)
