"""Batched sampling with a key-value cache, in which equal beginnings are computed once.

The samples of a group share their prompt and, at the entropies of a trained policy, long beginnings. Decoding therefore
walks a tree: a node is a problem and the tokens written so far, and every sample sits at the node of its own
beginning. A step advances the nodes only; each sample then draws from its node's distribution with its own uniform
number. The completions are those of plain sampling; samples that have ended cost nothing.

A node occupies a row of the cache. Its first continuation stays in the row, in place; further ones copy it to rows that
are free. Rows without a node are computed along until they are too many to carry.

Shapes: P problems, R live samples, W rows, H heads, D head dimension, S columns of the cache, n new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from crestfall.policies.base import FloatArray, IntArray
from crestfall.policies.tiny.folded import Folded, normed
from crestfall.policies.tiny.tokenizer import CODE, EOS, PAD

HIDDEN = -1e30
"""Added to the score of a column that is not to be seen. Finite: padding that sees nothing must not become NaN."""

LIVE_SHARE = 0.75
"""Rows are closed up when fewer than this share of them hold a node."""


@dataclass(frozen=True)
class Decoded:
    """Completions [N, T], PAD behind the end; log-probs under the sampling distribution; whether the limit cut it."""

    tokens_NT: IntArray
    logprobs_NT: FloatArray
    truncated_N: np.ndarray[tuple[int], np.dtype[np.bool_]]


class Cache:
    """Keys and values of every row, [layers, 2, W, H, S, D], and what each row's columns add to a score."""

    def __init__(self, weights: Folded, rows: int, columns: int) -> None:
        width = weights.embed.shape[1]
        self.weights = weights
        self.kv = torch.empty((len(weights.layers), 2, rows, weights.heads, columns, width // weights.heads))
        self.bias = torch.zeros((rows, 1, 1, columns))
        self.rows, self.columns = rows, 0

    def copy(self, source: IntArray, target: IntArray) -> None:
        """Rows `source` to rows `target`, of which there may be more than there were."""
        needed = max(self.rows, int(target.max()) + 1)
        if needed > self.kv.shape[2]:
            self.kv = _lengthened(self.kv, 2, 2 * needed)
            self.bias = _lengthened(self.bias, 0, 2 * needed)
        self.rows = needed
        s, t = torch.from_numpy(source), torch.from_numpy(target)
        self.bias[t] = self.bias[s]
        written = self.kv[..., : self.columns, :]
        written[:, :, t] = written[:, :, s]

    def advance(self, token_Wn: Tensor, bias: Tensor | None = None) -> Tensor:
        """Feed n tokens to each row; logits [W, V] over the temperature behind the last one.

        `bias` [W, 1, n, S]: instead of what the rows' columns add.
        """
        weights, (rows, new) = self.weights, token_Wn.shape
        done, self.columns = self.columns, self.columns + new
        bias = self.bias[:rows, ..., : self.columns] if bias is None else bias
        turns = weights.turns[done : self.columns].repeat(rows, 1, 1)
        x = F.embedding(token_Wn.flatten(), weights.embed)
        for layer, cached in zip(weights.layers, self.kv, strict=True):
            qkv = normed(x) @ layer.qkv.T
            both = qkv[:, : 2 * x.shape[1]].view(rows * new, 2 * weights.heads, -1, 2)
            torch.view_as_complex(both).mul_(turns)
            q, k, v = qkv.view(rows, new, 3, weights.heads, -1).permute(2, 0, 3, 1, 4)
            cached[0, :rows, :, done : self.columns] = k
            cached[1, :rows, :, done : self.columns] = v
            keys, values = cached[:, :rows, :, : self.columns].flatten(1, 2)
            scores = torch.bmm(q.reshape(-1, new, q.shape[-1]), keys.transpose(1, 2))
            scores.view(rows, weights.heads, new, -1).add_(bias)
            attended = torch.bmm(scores.softmax(dim=-1), values)
            attended = attended.view(rows, weights.heads, new, -1).transpose(1, 2).reshape(x.shape)
            x = torch.addmm(x, attended, layer.out.T)
            x = torch.addmm(x, (normed(x) @ layer.up.T).relu_().square_(), layer.down.T)
        return weights.logits(x.view(rows, new, -1)[:, -1])


def _lengthened(x: Tensor, dim: int, size: int) -> Tensor:
    shape = list(x.shape)
    shape[dim] = size
    out = x.new_empty(shape)
    out.narrow(dim, 0, x.shape[dim]).copy_(x)
    return out


def prefilled(weights: Folded, prompts: Sequence[Sequence[int]], longest: int) -> tuple[Cache, Tensor]:
    """A cache with a row for each prompt, and the distribution's logits [P, V] of the first token to write.

    Prompts stand at the right, so that all rows write into the same column. Rotary positions are relative: a column
    will do for a position.
    """
    columns = max(map(len, prompts)) + 1
    token_PS = np.full((len(prompts), columns), CODE, dtype=np.int64)
    real_PS = np.ones(token_PS.shape, dtype=np.bool_)
    for p, prompt in enumerate(prompts):
        token_PS[p, columns - 1 - len(prompt) : -1] = prompt
        real_PS[p, : columns - 1 - len(prompt)] = False
    cache = Cache(weights, len(prompts), columns + longest)
    cache.bias[..., :columns].masked_fill_(torch.from_numpy(~real_PS)[:, None, None], HIDDEN)
    causal = torch.full((columns, columns), HIDDEN).triu_(1)
    return cache, cache.advance(torch.from_numpy(token_PS), cache.bias[..., :columns] + causal)


@torch.inference_mode()
def decode(
    weights: Folded, prompts: Sequence[Sequence[int]], uniforms_PGT: FloatArray, greedy_last: bool
) -> Decoded:
    """Sample by inverting the CDF of the softmax at the given uniforms.

    `greedy_last`: the last sample of each group takes the most likely token instead.
    """
    problems, group, longest = uniforms_PGT.shape
    uniforms_NT = uniforms_PGT.reshape(-1, longest)
    tokens_NT = np.full(uniforms_NT.shape, PAD, dtype=np.int64)
    logprobs_NT = np.zeros(uniforms_NT.shape, dtype=np.float32)
    live_R = np.arange(problems * group)
    row_R = live_R // group
    cache, logits = prefilled(weights, prompts, longest)
    for t in range(longest):
        p_WV = logits.softmax(dim=-1)
        choice_R = _invert_cdf(p_WV, row_R, uniforms_NT[live_R, t])
        if greedy_last:
            choice_R = np.where(live_R % group == group - 1, p_WV.argmax(dim=-1).numpy()[row_R], choice_R)
        tokens_NT[live_R, t] = choice_R
        logprobs_NT[live_R, t] = np.log(p_WV.numpy()[row_R, choice_R])
        going_R = choice_R != EOS
        live_R = live_R[going_R]
        if t == longest - 1 or len(live_R) == 0:
            break
        row_R, token_W = _grow(cache, row_R[going_R], choice_R[going_R])
        logits = cache.advance(torch.from_numpy(token_W)[:, None])
    truncated_N = np.zeros(problems * group, dtype=np.bool_)
    truncated_N[live_R] = True
    return Decoded(tokens_NT, logprobs_NT, truncated_N)


def _grow(cache: Cache, row_R: IntArray, choice_R: IntArray) -> tuple[IntArray, IntArray]:
    """Give every distinct continuation a row: each sample's row, and the token to feed to each row."""
    # Of equal pairs one is kept; pairs are in the order of their parents' rows.
    pairs, node_R = np.unique(row_R * PAIR + choice_R, return_inverse=True)
    parent_M, token_M = np.divmod(pairs, PAIR)
    row_M = parent_M.copy()
    further = np.flatnonzero(parent_M[1:] == parent_M[:-1]) + 1
    if len(further):
        occupied_W = np.zeros(cache.rows + len(further), dtype=np.bool_)
        occupied_W[parent_M] = True
        row_M[further] = np.flatnonzero(~occupied_W)[: len(further)]
        cache.copy(parent_M[further], row_M[further])
    if len(row_M) < LIVE_SHARE * cache.rows:
        closed_M = np.arange(len(row_M))
        cache.copy(row_M, closed_M)
        row_M, cache.rows = closed_M, len(row_M)
    token_W = np.full(cache.rows, EOS, dtype=np.int64)
    token_W[row_M] = token_M
    return row_M[node_R], token_W


def _invert_cdf(p_WV: Tensor, row_R: IntArray, uniforms_R: FloatArray) -> IntArray:
    """The first token at which the cumulative probability of a sample's row exceeds its uniform number."""
    cdf_RV = p_WV.cumsum(dim=-1)[torch.from_numpy(row_R)]
    threshold = torch.from_numpy(uniforms_R)[:, None] * cdf_RV[:, -1:]
    choice_R: IntArray = torch.searchsorted(cdf_RV, threshold, right=True)[:, 0].numpy()
    return np.minimum(choice_R, p_WV.shape[1] - 1)


PAIR = 1 << 32
"""Base in which a row and a token are one number."""
