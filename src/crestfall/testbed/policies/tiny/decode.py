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
from numpy.typing import NDArray
from torch import Tensor

from crestfall.testbed.policies.base import FloatArray, IntArray
from crestfall.testbed.policies.tiny.folded import Folded, split
from crestfall.testbed.policies.tiny.prefill import Prompts, merged, read
from crestfall.testbed.policies.tiny.tokenizer import EOS, PAD

LIVE_SHARE = 0.75
"""Rows are closed up when fewer than this share of them hold a node."""

PAIR = 1 << 32
"""Base in which a row and a token are one number."""


@dataclass(frozen=True)
class Decoded:
    """Completions [N, T], PAD behind the end; log-probs under the sampling distribution; whether the limit cut it."""

    tokens_NT: IntArray
    logprobs_NT: FloatArray
    truncated_N: NDArray[np.bool_]


class Cache:
    """Keys and values of what each row has written, and the prompts they are about.

    `kv` is [T, layers, 2, W, H, D]: a step writes one block, and what is read was written in order.
    """

    def __init__(self, weights: Folded, prompts: Prompts, problem_W: IntArray, longest: int) -> None:
        depth = weights.embed.shape[1] // weights.heads
        self.weights, self.prompts, self.problem_W = weights, prompts, problem_W
        size = (longest, len(weights.layers), 2, len(problem_W), weights.heads, depth)
        self.kv = torch.empty(size, device=weights.device)
        self.written = 0

    @property
    def rows(self) -> int:
        return len(self.problem_W)

    def close_up(self, row_W: IntArray) -> None:
        """Keep these rows, in this order, and no others."""
        written = self._blocks()
        written[:, : len(row_W)] = written.index_select(1, self._index(row_W))
        self.problem_W = self.problem_W[row_W]

    def copy(self, source: IntArray, target: IntArray) -> None:
        """Rows `source` to rows `target`, of which there may be more than there were."""
        more = max(0, int(target.max()) + 1 - self.rows)
        self.problem_W = np.concatenate((self.problem_W, np.zeros(more, dtype=np.int64)))
        self.problem_W[target] = self.problem_W[source]
        if self.rows > self.kv.shape[3]:
            longest, layers, two, rows, *rest = self.kv.shape
            longer = self.kv.new_empty((longest, layers, two, 2 * self.rows, *rest))
            longer[: self.written, :, :, :rows] = self.kv[: self.written]
            self.kv = longer
        written = self._blocks()
        written.index_copy_(1, self._index(target), written.index_select(1, self._index(source)))

    def _blocks(self) -> Tensor:
        """All that was written, as [blocks, W, E]."""
        return self.kv[: self.written].flatten(0, 2).flatten(2)

    def _index(self, numbers: IntArray) -> Tensor:
        return torch.from_numpy(numbers).to(self.weights.device)

    def advance(self, token_W: IntArray) -> Tensor:
        """Feed each row a token; logits [W, V] over the temperature of the next."""
        weights, rows, width = self.weights, self.rows, self.weights.embed.shape[1]
        turns = weights.turns[self.prompts.bias.shape[-1] + self.written]
        x = F.embedding(self._index(token_W), weights.embed)
        places = self._places()
        self.written += 1
        kvs = self.kv[: self.written, :, :, :rows].unbind(1)
        for layer, kv, *prompt in zip(weights.layers, kvs, self.prompts.keys_T, self.prompts.values, strict=True):
            q, k, v = split(weights, layer, x, turns)
            kv[-1, 0], kv[-1, 1] = k, v
            own = kv.flatten(2, 3)
            x = merged(layer, x, self._attend(q, own, prompt, places).view(rows, width))
        return weights.logits(x)

    def _places(self) -> tuple[tuple[Tensor, Tensor], int]:
        """Each row's problem and its place among the problem's rows; the most rows that a problem has."""
        count_P = np.bincount(self.problem_W, minlength=len(self.prompts.bias))
        order = np.argsort(self.problem_W, kind="stable")
        slot_W = np.empty_like(order)
        slot_W[order] = np.arange(len(order)) - np.repeat(count_P.cumsum() - count_P, count_P)
        return (self._index(self.problem_W), self._index(slot_W)), int(count_P.max())

    def _attend(
        self, q: Tensor, own: Tensor, prompt: Sequence[Tensor], places: tuple[tuple[Tensor, Tensor], int]
    ) -> Tensor:
        """One query a row [W, H, D] over its prompt and what it has written itself, [t, 2, W * H, D].

        Queries are laid out problem by problem, so that a prompt is read once and not once per row.
        """
        (keys_T, values), (place, width) = prompt, places
        rows, heads, depth = q.shape
        shape = (len(self.prompts.bias), heads, width)
        grid = q.new_zeros((*shape, depth))
        grid.transpose(1, 2)[place] = q
        scores = torch.bmm(grid.flatten(0, 1), keys_T).view(*shape, -1).add_(self.prompts.bias)
        over_prompt = scores.transpose(1, 2)[place]
        over_own = torch.bmm(q.reshape(rows * heads, 1, depth), own[:, 0].permute(1, 2, 0)).view(rows, heads, -1)
        weights = torch.cat((over_prompt, over_own), dim=-1).softmax(dim=-1)
        grid = q.new_zeros((*shape, keys_T.shape[2]))
        grid.transpose(1, 2)[place] = weights[..., : keys_T.shape[2]]
        from_prompt = torch.bmm(grid.flatten(0, 1), values).view(*shape, depth).transpose(1, 2)[place]
        own_weights = weights.view(rows * heads, 1, -1)[..., keys_T.shape[2] :]
        return torch.baddbmm(from_prompt.view(rows * heads, 1, depth), own_weights, own[:, 1].transpose(0, 1))


@torch.inference_mode()
def decode(weights: Folded, prompts: Sequence[Sequence[int]], uniforms_PGT: FloatArray, greedy_last: bool) -> Decoded:
    """Sample by inverting the CDF of the softmax at the given uniforms.

    `greedy_last`: the last sample of each group takes the most likely token instead.
    """
    problems, group, longest = uniforms_PGT.shape
    uniforms_NT = uniforms_PGT.reshape(-1, longest)
    tokens_NT = np.full(uniforms_NT.shape, PAD, dtype=np.int64)
    logprobs_NT = np.zeros(uniforms_NT.shape, dtype=np.float32)
    live_R = np.arange(problems * group)
    row_R = live_R // group
    shared, logits = read(weights, prompts)
    cache = Cache(weights, shared, np.arange(problems), longest)
    for t in range(longest):
        p_WV = logits.softmax(dim=-1).cpu()  # few numbers, and the draws are made there
        choice_R = _invert_cdf(p_WV, row_R, uniforms_NT[live_R, t])
        if greedy_last:
            choice_R = np.where(live_R % group == group - 1, p_WV.argmax(dim=-1).numpy()[row_R], choice_R)
        tokens_NT[live_R, t] = choice_R
        logprobs_NT[live_R, t] = np.log(p_WV.numpy()[row_R, choice_R])
        going_R = choice_R != EOS
        live_R = live_R[going_R]
        if len(live_R) == 0 or t == longest - 1:
            break
        row_R, token_W = _grow(cache, row_R[going_R], choice_R[going_R])
        logits = cache.advance(token_W)
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
        cache.close_up(row_M)
        row_M = np.arange(len(row_M))
    token_W = np.full(cache.rows, EOS, dtype=np.int64)
    token_W[row_M] = token_M
    return row_M[node_R], token_W


def _invert_cdf(p_WV: Tensor, row_R: IntArray, uniforms_R: FloatArray) -> IntArray:
    """The first token at which the cumulative probability of a sample's row exceeds its uniform number."""
    cdf_RV = p_WV.cumsum(dim=-1)[torch.from_numpy(row_R)]
    threshold = torch.from_numpy(uniforms_R)[:, None] * cdf_RV[:, -1:]
    choice_R: IntArray = torch.searchsorted(cdf_RV, threshold, right=True)[:, 0].numpy()
    return np.minimum(choice_R, p_WV.shape[1] - 1)
