"""Batched sampling with a key-value cache.

Rows are kept as whole groups [P, G]: the prompt's keys and values are then read once per problem and step, not once per
sample. A problem leaves the batch when all its samples have ended.
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


class Cache:
    """Keys and values of what was generated so far: layers x [P * G, H, T, D], filled from the left."""

    def __init__(self, model: TinyTransformer, rows: int, length: int) -> None:
        shape = model.shape
        size = (shape.layers, rows, shape.heads, length, shape.width // shape.heads)
        self.keys = torch.empty(size)
        self.values = torch.empty(size)

    def keep(self, rows: Tensor, filled: int) -> None:
        room = self.keys.shape[3]
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = torch.empty((old.shape[0], len(rows), old.shape[2], room, old.shape[4]))
            new[:, :, :, :filled] = old[:, rows, :, :filled]
            setattr(self, name, new)


def _attend(q: Tensor, prefix_k: Tensor, prefix_v: Tensor, bias_PT: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One query a row over its group's prefix and its own past: q [N, H, 1, D], k and v [N, H, t, D]."""
    n, heads, _, depth = q.shape
    problems, prompt = bias_PT.shape
    group = n // problems
    q = q / math.sqrt(depth)
    grouped = q.view(problems, group, heads, depth).transpose(1, 2)  # [P, H, G, D]
    over_prefix = grouped @ prefix_k.transpose(-1, -2) + bias_PT[:, None, None]  # [P, H, G, Tp]
    over_own = (k @ q.transpose(-1, -2)).squeeze(-1)  # [N, H, t]
    scores = torch.cat((over_prefix.transpose(1, 2).reshape(n, heads, prompt), over_own), dim=-1).softmax(dim=-1)
    from_prefix = scores[..., :prompt].view(problems, group, heads, prompt).transpose(1, 2) @ prefix_v  # [P, H, G, D]
    from_own = scores[..., None, prompt:] @ v  # [N, H, 1, D]
    return from_prefix.transpose(1, 2).reshape(n, heads, 1, depth) + from_own


@torch.inference_mode()
def decode(
    model: TinyTransformer, prefix: Prefix, uniforms_PGT: Tensor, temperature: float, greedy_last: bool
) -> Decoded:
    """Sample by inverting the CDF of softmax(logits / temperature) at the given uniforms.

    `greedy_last`: the last sample of each group takes the most likely token instead.
    """
    problems, group, longest = uniforms_PGT.shape
    tokens = torch.full((problems, group, longest), PAD)
    logprobs = torch.zeros((problems, group, longest))
    done = torch.zeros((problems, group), dtype=torch.bool)
    alive = torch.arange(problems)  # which problems are still in the batch
    cache = Cache(model, problems * group, longest)
    last = torch.full((problems * group, 1), CODE)
    for t in range(longest):
        logits = _advance(model, prefix, cache, last, t, group)
        log_p = (logits / temperature).log_softmax(dim=-1).view(len(alive), group, -1)
        choice = _invert_cdf(log_p, uniforms_PGT[alive, :, t])
        if greedy_last:
            choice[:, -1] = log_p[:, -1].argmax(dim=-1)
        open_ = ~done[alive]
        tokens[alive, :, t] = torch.where(open_, choice, PAD)
        logprobs[alive, :, t] = torch.where(open_, log_p.gather(-1, choice[..., None]).squeeze(-1), 0.0)
        done[alive] |= choice == EOS
        still = (~done[alive]).any(dim=1).nonzero().squeeze(-1)
        last = choice.view(-1, 1)
        if len(still) == 0:
            break
        if len(still) < len(alive):
            rows = (still[:, None] * group + torch.arange(group)).view(-1)
            last, alive, prefix = last[rows], alive[still], prefix.take(still)
            cache.keep(rows, t + 1)
    lengths = (tokens != PAD).sum(dim=-1)
    return Decoded(tokens, logprobs, lengths, ~done)


def _advance(model: TinyTransformer, prefix: Prefix, cache: Cache, last: Tensor, t: int, group: int) -> Tensor:
    """Feed each row's last token; logits [N, V] of the next."""
    positions = (prefix.lengths_P + t).repeat_interleave(group)[:, None]
    angles = model.angles(positions)
    x = model.embed(last)
    for layer, block in enumerate(model.blocks):
        q, k, v = block.project(x, angles)
        cache.keys[layer, :, :, t] = k[:, :, 0]
        cache.values[layer, :, :, t] = v[:, :, 0]
        own_k, own_v = cache.keys[layer, :, :, : t + 1], cache.values[layer, :, :, : t + 1]
        attended = _attend(q, prefix.keys[layer], prefix.values[layer], prefix.bias_PT, own_k, own_v)
        x = block.merge(x, attended)
    return model.logits(x[:, -1])


def _invert_cdf(log_p: Tensor, uniforms: Tensor) -> Tensor:
    """The first token at which the cumulative probability exceeds the uniform number."""
    cdf = log_p.exp().cumsum(dim=-1)
    threshold = uniforms[..., None] * cdf[..., -1:]
    return torch.searchsorted(cdf, threshold, right=True).squeeze(-1).clamp_(max=log_p.shape[-1] - 1)
