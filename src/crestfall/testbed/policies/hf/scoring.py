"""The states that say a completion's tokens, for many completions in one pass, in batches of bounded size.

The completions of a problem share its prompt: it is computed once, and its keys and values serve them all, in the
forward pass and in the backward pass. Gradient checkpointing keeps no keys and values; where it computes a gradient
every completion is computed with its prompt.

Shapes: P prompts, R completions, L and W the longest of each; n tokens of all completions, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from crestfall.testbed.policies.base import IntArray
from crestfall.testbed.policies.hf.model import CausalLM
from crestfall.testbed.policies.padding import padded


def states(
    lm: CausalLM, prompts: Sequence[IntArray], prompt_R: IntArray, tokens_R: Sequence[IntArray], pad: int
) -> Tensor:
    """[n, D]: for every token of every completion the state one place before it. `prompt_R`: each one's prompt."""
    if not shares_prompts(lm):
        return _each_with_its_prompt(lm, [prompts[p] for p in prompt_R], tokens_R, pad)
    return _behind_shared_prompts(lm, prompts, prompt_R, tokens_R, pad)


def shares_prompts(lm: CausalLM) -> bool:
    """Whether keys and values outlive the forward pass: not for recurrent layers, and not in the backward pass of a
    model without a cache."""
    return lm.anatomy.shares and not (lm.checkpointing and torch.is_grad_enabled())


def _behind_shared_prompts(
    lm: CausalLM, prompts: Sequence[IntArray], prompt_R: IntArray, tokens_R: Sequence[IntArray], pad: int
) -> Tensor:
    used, place_R = np.unique(prompt_R, return_inverse=True)
    ids, mask_PL = (tensor.to(lm.device) for tensor in padded([prompts[p] for p in used], pad, left=True))
    index_R = torch.from_numpy(place_R).to(lm.device)
    cache = lm.new_cache()
    first_RD = lm.states(ids, mask_PL, (mask_PL.cumsum(1) - 1).clamp_min(0), cache)[index_R, -1]
    # The last token is said by the state before it, and says nothing.
    inputs, mask_RW = (tensor.to(lm.device) for tensor in padded([tokens[:-1] for tokens in tokens_R], pad))
    real = torch.cat((mask_RW.new_ones(len(tokens_R), 1), mask_RW), dim=1).bool()
    if inputs.shape[1] == 0:
        return first_RD
    cache.batch_select_indices(index_R)
    mask_RL = mask_PL[index_R]
    positions = mask_RL.sum(1, keepdim=True) + torch.arange(inputs.shape[1], device=lm.device)
    rest_RWD = lm.states(inputs, torch.cat((mask_RL, mask_RW), dim=1), positions, cache)
    return torch.cat((first_RD[:, None], rest_RWD), dim=1)[real]


def _each_with_its_prompt(
    lm: CausalLM, prompts_R: Sequence[IntArray], tokens_R: Sequence[IntArray], pad: int
) -> Tensor:
    whole = [np.concatenate((prompt, tokens)) for prompt, tokens in zip(prompts_R, tokens_R, strict=True)]
    ids, mask = (tensor.to(lm.device) for tensor in padded(whole, pad))
    out = lm.states(ids, mask, torch.arange(ids.shape[1], device=lm.device).expand(len(ids), -1))
    row_n = np.repeat(np.arange(len(tokens_R)), [len(tokens) for tokens in tokens_R])
    place_n = np.concatenate([len(p) - 1 + np.arange(len(t)) for p, t in zip(prompts_R, tokens_R, strict=True)])
    return out[torch.from_numpy(row_n).to(lm.device), torch.from_numpy(place_n).to(lm.device)]


def batches(
    prompts_P: IntArray, prompt_R: IntArray, length_R: IntArray, budget: int, shared: bool
) -> Iterator[IntArray]:
    """Rows in batches of at most `budget` tokens, padding included, or of one row; those of a problem together.

    `prompts_P`: lengths. `shared`: a prompt counts once however many of its completions are there.
    """

    def cost(rows: IntArray) -> int:
        longest, prompts = int(length_R[rows].max()), prompts_P[prompt_R[rows]]
        if shared:
            return len(np.unique(prompt_R[rows])) * int(prompts.max()) + len(rows) * longest
        return len(rows) * int((prompts + length_R[rows]).max())

    start = 0
    order = np.lexsort((-length_R, prompt_R, -prompts_P[prompt_R]))
    for end in range(1, len(order) + 1):
        if end == len(order) or cost(order[start : end + 1]) > budget:
            yield order[start:end]
            start = end


def blocks(
    prompts: Sequence[int], group: int, longest: int, budget: int, equal: bool = False
) -> Iterator[tuple[IntArray, IntArray]]:
    """(problems, columns of their groups) to be sampled together: `budget` tokens if all are written to the end.

    A group is split only where it is too large by itself. `prompts`: lengths; those of similar length go together;
    `equal`: only those of equal length.
    """
    order = np.argsort(-np.array(prompts), kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, budget // (prompts[order[start]] + longest))
        problems = order[start : start + max(1, rows // group)]
        if equal:
            problems = np.array([p for p in problems if prompts[p] == prompts[problems[0]]])
        for columns in np.array_split(np.arange(group), -(-group // rows)):
            yield problems, columns
        start += len(problems)
