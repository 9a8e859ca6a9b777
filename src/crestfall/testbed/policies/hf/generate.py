"""Sampling by `model.generate`, each token chosen by a uniform number: a logits processor leaves that token alone.

For models whose cache cannot be shared or shortened (recurrent layers), and for those that a trainer holds. The
completions are those of `decode` up to rounding. Of the model's generation_config nothing is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crestfall.testbed.policies.base import FloatArray, IntArray
from crestfall.testbed.policies.hf.decode import Decoded, Ended
from crestfall.testbed.policies.hf.draw import draw
from crestfall.testbed.policies.hf.model import CausalLM


@torch.no_grad()
def decode_by_generate(
    lm: CausalLM,
    prompts: Sequence[IntArray],
    uniforms_PGT: FloatArray,
    temperature: float,
    greedy_N: NDArray[np.bool_],
    ended: Ended,
    pad: int,
) -> Decoded:
    """The same as `decode.decode`, for prompts of one length: there is no padding that a recurrent layer would see."""
    group, longest = uniforms_PGT.shape[1:]
    ids = torch.from_numpy(np.repeat(np.stack(prompts), group, axis=0)).to(lm.device)
    uniforms_NT = torch.from_numpy(uniforms_PGT.reshape(-1, longest)).to(lm.device)
    greedy = torch.from_numpy(greedy_N).to(lm.device)
    with lm.computing():
        mask, caches = torch.ones_like(ids), lm.anatomy.caches
        return generate(lm.model, ids, mask, uniforms_NT, temperature, greedy, ended, pad, caches)


def generate(
    model: Any,
    ids_NL: Tensor,
    mask_NL: Tensor,
    uniforms_NT: Tensor,
    temperature: float,
    greedy_N: Tensor,
    ended: Ended,
    pad: int,
    caches: bool = True,
) -> Decoded:
    """Completions of left-padded prompts, each drawn with its row of uniform numbers."""
    from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

    drawing = _Drawing(uniforms_NT, temperature, greedy_N, ended)
    plain = GenerationConfig(
        do_sample=False, max_new_tokens=uniforms_NT.shape[1], pad_token_id=pad, eos_token_id=None, use_cache=caches
    )
    with _configured(model, plain):
        model.generate(
            ids_NL,
            attention_mask=mask_NL,
            logits_processor=LogitsProcessorList([drawing.only_the_drawn]),
            stopping_criteria=StoppingCriteriaList([drawing.finished]),
        )
    return Decoded(drawing.tokens, drawing.logprobs, drawing.live)


class _Drawing:
    """Tokens drawn so far. `generate` calls the two methods in turn, once per token position."""

    def __init__(self, uniforms_NT: Tensor, temperature: float, greedy_N: Tensor, ended: Ended) -> None:
        self._uniforms_NT, self._temperature, self._greedy_N, self._ended = uniforms_NT, temperature, greedy_N, ended
        self._place = 0
        self.tokens: list[list[int]] = [[] for _ in uniforms_NT]
        self.logprobs: list[list[float]] = [[] for _ in uniforms_NT]
        self.live = np.ones(len(uniforms_NT), dtype=np.bool_)

    def only_the_drawn(self, _: Tensor, scores_NV: Tensor) -> Tensor:
        """A logits processor: the drawn token is the only one left, so that the largest is it."""
        uniforms_N = self._uniforms_NT[:, self._place]
        choice_N, logprob_N = draw(scores_NV.float(), uniforms_N, self._temperature, self._greedy_N)
        self._place += 1
        for n, (token, logprob) in enumerate(zip(choice_N.tolist(), logprob_N.tolist(), strict=True)):
            if self.live[n]:
                self.tokens[n].append(token)
                self.logprobs[n].append(logprob)
                self.live[n] = not self._ended(n, self.tokens[n])
        return torch.full_like(scores_NV, -torch.inf).scatter_(1, choice_N[:, None], 0.0)

    def finished(self, ids_NL: Tensor, _: Any) -> Tensor:
        """A stopping criterion: [N], which rows have ended."""
        return torch.from_numpy(~self.live).to(ids_NL.device)


@contextmanager
def _configured(model: Any, config: Any) -> Iterator[None]:
    """For as long as the block lasts, this is the model's generation_config: values of its own would be merged in."""
    own, model.generation_config = model.generation_config, config
    try:
        yield
    finally:
        model.generation_config = own
