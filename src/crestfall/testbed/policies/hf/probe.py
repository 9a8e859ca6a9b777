"""A loaded model tried on a few tokens: are the ways that are faster also right?

Families differ in what they make of padding, positions and a cache that is handed on. What is computed for two prompts
of unequal length and three completions is compared with one plain forward pass for each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from crestfall.core.errors import InputError
from crestfall.testbed.policies.base import IntArray
from crestfall.testbed.policies.hf.anatomy import Anatomy
from crestfall.testbed.policies.hf.decode import Decoded, decode
from crestfall.testbed.policies.hf.generate import decode_by_generate
from crestfall.testbed.policies.hf.model import CausalLM
from crestfall.testbed.policies.hf.replay import fits
from crestfall.testbed.policies.hf.scoring import states

_log = logging.getLogger("crestfall")

_PROMPT_R = np.array([0, 0, 1])
_TOLERANCE = {False: 0.01, True: 0.2}  # in bfloat16
"""Largest median difference of logits, relative to their spread: a wrong position or mask moves all of them by about
one."""


@torch.no_grad()
def probe(lm: CausalLM) -> None:
    """Find the fastest way that is right, and leave `lm` set to it.

    Raises:
        InputError: none is; the model looks ahead, for one.
    """
    words = (np.arange(60) * 7 + 3) % min(lm.vocabulary, 251)
    prompts, tokens_R = [words[:3], words[3:8]], [words[8:11], words[11:14], words[14:17]]
    plain = _plain(lm, [np.concatenate((prompts[p], tokens)) for p, tokens in zip(_PROMPT_R, tokens_R, strict=True)])
    expected = torch.cat(
        [out[len(prompts[p]) - 1 : -1] for p, out in zip(_PROMPT_R, plain, strict=True)]
    )  # [n, V]: of the states that say the completions' tokens
    alone = torch.cat([out[-1:] for out in _plain(lm, [prompts[p] for p in _PROMPT_R])])
    firsts = np.cumsum([0, *map(len, tokens_R)])[:-1]
    if not _equal(lm, alone, expected[firsts]):
        raise InputError("policy.model: not a causal language model: what it says of a text depends on what follows")
    why = None
    for shares in (True, False):
        if lm.anatomy.shares or not shares:
            lm.anatomy = replace(lm.anatomy, shares=shares)
            why = _wrong(lm, prompts, tokens_R, expected)
            if why is None:
                return _find_the_sampler(lm, prompts)
    raise InputError(f"policy.model: {type(lm.model).__name__} cannot be trained here: {why}")


def _find_the_sampler(lm: CausalLM, prompts: list[IntArray]) -> None:
    if not lm.anatomy.shares:
        _see_whether_it_caches(lm, prompts[1])
    elif lm.device.type == "cuda":
        lm.anatomy = fixed_steps(lm, prompts)


def _see_whether_it_caches(lm: CausalLM, prompt: IntArray) -> None:
    """Check that `generate` keeps the state between two tokens, which some families lose."""
    for caches in (True, False):
        lm.anatomy = replace(lm.anatomy, caches=caches)
        if _says_what_a_pass_says(lm, [prompt], decode_by_generate):
            return
    raise InputError(f"policy.model: {type(lm.model).__name__} cannot be sampled: `generate` says what a pass does not")


def fixed_steps(lm: CausalLM, prompts: list[IntArray]) -> Anatomy:
    """The anatomy with steps of a fixed shape, where they can be replayed and are right; else as it was."""
    own, lm.anatomy = lm.anatomy, replace(lm.anatomy, replays=True)
    try:
        right = fits(lm.new_cache()) and _says_what_a_pass_says(lm, prompts, decode)
    except Exception as error:  # a model that waits for the device, for one, cannot be captured
        _log.info("decoding without CUDA graphs: %s: %s", type(error).__name__, " ".join(str(error).split())[:200])
        right = False
    found, lm.anatomy = lm.anatomy, own
    return found if right else own


def _says_what_a_pass_says(lm: CausalLM, prompts: list[IntArray], sampler: Callable[..., Decoded]) -> bool:
    """Whether the log-probs of three completions of each prompt are those of one plain forward pass for each."""
    uniforms = np.random.default_rng(0).random((len(prompts), 3, 6), dtype=np.float32)
    greedy = np.zeros(3 * len(prompts), np.bool_)
    out = sampler(lm, prompts, uniforms, 1.0, greedy, lambda *_: False, pad=0)
    distances, spreads = [], []
    for n, tokens in enumerate(out.tokens_N):
        prompt = prompts[n // 3]
        (logits,) = _plain(lm, [np.concatenate((prompt, tokens))])
        logits = logits[len(prompt) - 1 : -1].cpu()
        said = logits.log_softmax(-1).gather(-1, torch.tensor(tokens)[:, None])[:, 0]
        distances.append((said - torch.tensor(out.logprobs_N[n])).abs())
        spreads.append(logits)
    return bool(torch.cat(distances).median() / torch.cat(spreads).std() < _TOLERANCE[lm.bfloat16])


def _plain(lm: CausalLM, rows: list[IntArray]) -> list[Tensor]:
    """float32 logits [L, V] of each row by itself."""
    with lm.computing():
        return [
            lm.model(input_ids=torch.from_numpy(row)[None].to(lm.device), use_cache=False).logits[0].float()
            for row in rows
        ]


def _wrong(lm: CausalLM, prompts: list[IntArray], tokens_R: list[IntArray], expected: Tensor) -> str | None:
    """Fault of these logits or of their gradient, which padding makes NaN in Gemma 3n; None if there is no fault."""
    first = next(iter(lm.trainable().values()))  # of the lowest layer that is trained: all above have a part in it
    try:
        with lm.computing():
            found = lm.logits(states(lm, prompts, _PROMPT_R, tokens_R, pad=0))
        with torch.enable_grad(), lm.differentiating(), lm.computing():
            again = lm.logits(states(lm, prompts, _PROMPT_R, tokens_R, pad=0))
            (gradient,) = torch.autograd.grad(again.log_softmax(-1)[:, 0].sum(), first)
    except Exception as error:  # whatever a model does that was not made for this
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if not all(_equal(lm, x, expected) for x in (found, again.detach())):
        return "padding changes what it says"
    return None if bool(gradient.isfinite().all()) else "its gradient is not finite"


def _equal(lm: CausalLM, found: Tensor, expected: Tensor) -> bool:
    distance = (found - expected).abs().median() / expected.std().clamp_min(1e-9)
    return bool(distance < _TOLERANCE[lm.bfloat16])
