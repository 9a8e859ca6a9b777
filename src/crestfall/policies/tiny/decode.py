"""Batched sampling with a key-value cache, in which equal beginnings are computed once.

The samples of a group share their prompt and, at the entropies of a trained policy, long beginnings. Decoding therefore
walks a tree: a node is a problem and the tokens written so far, and every sample sits at the node of its own
beginning. A step advances the distinct nodes only; each sample then draws from its node's distribution with its own
uniform number. The completions are those of plain sampling; samples that have ended cost nothing.

Shapes: R live samples, M nodes (ordered by problem), H heads, D head dimension, Tp prompt tokens, t tokens written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from crestfall.policies.tiny.model import Prefix, TinyTransformer
from crestfall.policies.tiny.tokenizer import CODE, EOS, PAD


@dataclass(frozen=True)
class Decoded:
    """Completions [P, G, T], PAD behind the end; log-probs under the sampling distribution; lengths with EOS."""

    tokens_PGT: Tensor
    logprobs_PGT: Tensor
    lengths_PG: Tensor
    truncated_PG: Tensor


@dataclass
class Nodes:
    """The distinct beginnings at one step: what each wrote last, whose continuation it is, and of which problem."""

    token_M: Tensor
    parent_M: Tensor
    problem_M: Tensor

    def slots(self) -> tuple[Tensor, int]:
        """Each node's place among its problem's nodes, and the largest number of nodes that a problem has."""
        counts = torch.bincount(self.problem_M)
        first = counts.cumsum(0) - counts
        return torch.arange(len(self.problem_M)) - first[self.problem_M], int(counts.max())


class Past:
    """Keys and values of the nodes' own tokens, a pair of [M, H, t, D] a layer."""

    def __init__(self, model: TinyTransformer) -> None:
        shape = model.shape
        empty = torch.empty((1, shape.heads, 0, shape.width // shape.heads))
        self.layers = [(empty, empty)] * shape.layers

    def extend(self, layer: int, parent_M: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append one token's keys and values [M, H, 1, D] to what the parents hold."""
        past_k, past_v = self.layers[layer]
        if past_k.shape[2] == 0:
            self.layers[layer] = k, v
        else:
            self.layers[layer] = torch.cat((past_k[parent_M], k), 2), torch.cat((past_v[parent_M], v), 2)
        return self.layers[layer]


@torch.inference_mode()
def decode(
    model: TinyTransformer, prefix: Prefix, uniforms_PGT: Tensor, temperature: float, greedy_last: bool
) -> Decoded:
    """Sample by inverting the CDF of softmax(logits / temperature) at the given uniforms.

    `greedy_last`: the last sample of each group takes the most likely token instead.
    """
    problems, group, longest = uniforms_PGT.shape
    uniforms = uniforms_PGT.reshape(-1, longest)
    tokens = torch.full(uniforms.shape, PAD)
    logprobs = torch.zeros(uniforms.shape)
    live_R = torch.arange(problems * group)
    node_R = live_R // group
    everyone = torch.arange(problems)
    nodes = Nodes(torch.full((problems,), CODE), everyone, everyone)
    past = Past(model)
    for t in range(longest):
        log_p = (_advance(model, prefix, past, nodes, t) / temperature).log_softmax(dim=-1)
        choice_R = _invert_cdf(log_p, node_R, uniforms[live_R, t])
        if greedy_last:
            choice_R = torch.where(live_R % group == group - 1, log_p.argmax(dim=-1)[node_R], choice_R)
        tokens[live_R, t] = choice_R
        logprobs[live_R, t] = log_p[node_R, choice_R]
        going = choice_R != EOS
        live_R = live_R[going]
        if len(live_R) == 0:
            break
        pairs, node_R = torch.unique(node_R[going] * log_p.shape[1] + choice_R[going], return_inverse=True)
        parent_M = pairs // log_p.shape[1]
        nodes = Nodes(pairs % log_p.shape[1], parent_M, nodes.problem_M[parent_M])
    truncated = torch.zeros(problems * group, dtype=torch.bool)
    truncated[live_R] = True
    shape = (problems, group, longest)
    lengths = (tokens != PAD).sum(dim=-1)
    return Decoded(
        tokens.view(shape), logprobs.view(shape), lengths.view(problems, group), truncated.view(problems, group)
    )


def _advance(model: TinyTransformer, prefix: Prefix, past: Past, nodes: Nodes, t: int) -> Tensor:
    """Feed each node its last token; logits [M, V] of the next."""
    angles = model.angles((prefix.lengths_P[nodes.problem_M] + t)[:, None])
    slots = nodes.slots()
    x = model.embed(nodes.token_M[:, None])
    for layer, block in enumerate(model.blocks):
        q, k, v = block.project(x, angles)
        own = past.extend(layer, nodes.parent_M, k, v)
        x = block.merge(x, _attend(q, prefix, layer, nodes.problem_M, slots, own))
    return model.logits(x[:, 0])


def _attend(
    q: Tensor, prefix: Prefix, layer: int, problem_M: Tensor, slots: tuple[Tensor, int], own: tuple[Tensor, Tensor]
) -> Tensor:
    """One query a node [M, H, 1, D] over its problem's prefix and its own past.

    Queries are laid out problem by problem ([P, H, slots, D]), so that a prefix is read once and not once per node.
    """
    (slot_M, width), (k, v) = slots, own
    _, heads, _, depth = q.shape
    problems, _, prompt, _ = prefix.keys[layer].shape
    q = q / math.sqrt(depth)
    laid_out = q.new_zeros((problems, width, heads, depth))
    laid_out[problem_M, slot_M] = q[:, :, 0]
    over_prefix = laid_out.transpose(1, 2) @ prefix.keys[layer].transpose(-1, -2) + prefix.bias_PT[:, None, None]
    over_own = (k @ q.transpose(-1, -2))[..., 0]  # [M, H, t]
    weights = torch.cat((over_prefix.transpose(1, 2)[problem_M, slot_M], over_own), dim=-1).softmax(dim=-1)
    laid_out = q.new_zeros((problems, width, heads, prompt))
    laid_out[problem_M, slot_M] = weights[..., :prompt]
    from_prefix = (laid_out.transpose(1, 2) @ prefix.values[layer]).transpose(1, 2)[problem_M, slot_M]  # [M, H, D]
    from_own = weights[..., None, prompt:] @ v  # [M, H, 1, D]
    return from_prefix[:, :, None] + from_own


def _invert_cdf(log_p: Tensor, node_R: Tensor, uniforms_R: Tensor) -> Tensor:
    """The first token at which the cumulative probability of a sample's node exceeds its uniform number."""
    cdf = log_p.exp().cumsum(dim=-1)[node_R]
    threshold = uniforms_R[:, None] * cdf[:, -1:]
    return torch.searchsorted(cdf, threshold, right=True)[:, 0].clamp_(max=log_p.shape[1] - 1)
