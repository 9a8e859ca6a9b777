"""Sampling by inverting the CDF at given uniform numbers, with a key-value cache.

A prompt is computed once for its whole group. On a CPU rows that have ended are dropped from the batch when they are a
quarter of it (before, moving the cache costs more than they do); a CUDA device replays steps of a fixed shape.

Shapes: P problems, G samples of each, T tokens at most, N = P x G; R rows still in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crestfall.testbed.policies.base import FloatArray, IntArray
from crestfall.testbed.policies.hf.draw import draw
from crestfall.testbed.policies.hf.model import CausalLM
from crestfall.testbed.policies.hf.replay import Replayed
from crestfall.testbed.policies.padding import padded

Ended = Callable[[int, Sequence[int]], bool]
"""(sample, its tokens so far) -> whether it ends with the last of them."""


@dataclass(frozen=True)
class Decoded:
    """Sample n = p * G + g: its tokens with the one that ended it, their log-probs, and whether none ended it."""

    tokens_N: list[list[int]]
    logprobs_N: list[list[float]]
    truncated_N: NDArray[np.bool_]


@torch.no_grad()  # not inference mode, in which autocast casts every weight anew for every token
def decode(
    lm: CausalLM,
    prompts: Sequence[IntArray],
    uniforms_PGT: FloatArray,
    temperature: float,
    greedy_N: NDArray[np.bool_],
    ended: Ended,
    pad: int,
) -> Decoded:
    """Sample from softmax(logits / temperature); `greedy_N`: take the most likely token instead."""
    _, group, longest = uniforms_PGT.shape
    uniforms_NT = torch.from_numpy(uniforms_PGT.reshape(-1, longest)).to(lm.device)
    tokens: list[list[int]] = [[] for _ in uniforms_NT]
    logprobs: list[list[float]] = [[] for _ in uniforms_NT]
    live = np.ones(len(tokens), dtype=bool)
    row_R = np.arange(len(tokens))  # which sample stands in which row of the batch
    with lm.computing():
        ids, mask = (tensor.to(lm.device) for tensor in padded(prompts, pad, left=True))
        cache = lm.new_cache()
        states = lm.states(ids, mask, (mask.cumsum(1) - 1).clamp_min(0), cache)[:, -1].repeat_interleave(group, 0)
        cache.batch_repeat_interleave(group)
        draws = _Draws(lm, temperature, torch.from_numpy(greedy_N).to(lm.device))
        kind = Replayed if lm.anatomy.replays else Growing
        steps = kind(lm, cache, mask.repeat_interleave(group, 0), longest, draws)
        choice_R, logprob_R = draws(states, uniforms_NT[:, 0])
        for t in range(longest):
            for n, token, logprob in zip(row_R, choice_R.tolist(), logprob_R.tolist(), strict=True):
                if live[n]:
                    tokens[n].append(token)
                    logprobs[n].append(logprob)
                    live[n] = not ended(int(n), tokens[n])
            kept = np.flatnonzero(live[row_R])
            if len(kept) == 0 or t == longest - 1:
                break
            if isinstance(steps, Growing) and len(kept) <= 0.75 * len(row_R):
                index = torch.from_numpy(kept).to(lm.device)
                steps.keep(index)
                choice_R, row_R = choice_R[index], row_R[kept]
            choice_R, logprob_R = steps(choice_R, uniforms_NT[row_R, t + 1])
    return Decoded(tokens, logprobs, live)


class Growing:
    """Steps of one batch, after its prompts, with a cache that grows by a token a step."""

    def __init__(self, lm: CausalLM, cache: Any, mask_RL: Tensor, _longest: int, draws: _Draws) -> None:
        self._lm, self._cache, self._mask, self._draws = lm, cache, mask_RL, draws

    def keep(self, index: Tensor) -> None:
        """Drop the other rows."""
        self._cache.batch_select_indices(index)
        self._mask, self._draws.greedy_R = self._mask[index], self._draws.greedy_R[index]

    def __call__(self, token_R: Tensor, uniforms_R: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [R] and log-probs [R] behind these tokens."""
        self._mask = torch.cat((self._mask, self._mask.new_ones(len(self._mask), 1)), dim=1)
        states = self._lm.states(token_R[:, None], self._mask, self._mask.sum(1, keepdim=True) - 1, self._cache)
        return self._draws(states[:, -1], uniforms_R)


class _Draws:
    """One token [R] a row with its log-prob [R], from states [R, D] and uniform numbers [R]."""

    def __init__(self, lm: CausalLM, temperature: float, greedy_R: Tensor) -> None:
        self._lm, self._temperature, self.greedy_R = lm, temperature, greedy_R

    def __call__(self, states_RD: Tensor, uniforms_R: Tensor) -> tuple[Tensor, Tensor]:
        parts = []
        for c in self._lm.chunks(len(states_RD)):
            parts.append(draw(self._lm.logits(states_RD[c]), uniforms_R[c], self._temperature, self.greedy_R[c]))
        choices, logprobs = zip(*parts, strict=True)
        return torch.cat(choices), torch.cat(logprobs)
