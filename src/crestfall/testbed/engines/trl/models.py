"""A policy as what TRL trains: a transformers causal LM and its tokenizer, and the way from problems to tokens and
back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crestfall.core.errors import ConfigError
from crestfall.core.types import Problem
from crestfall.testbed.engines.sampling import Sampler
from crestfall.testbed.policies.base import FloatArray, IntArray, Samples

if TYPE_CHECKING:
    from crestfall.testbed.policies.tiny import TinyPolicy

Written = Callable[[Sequence[Problem], int, Sequence[IntArray], Sequence[FloatArray], NDArray[np.bool_]], Samples]
"""(problems, group size, tokens, log-probs, truncated) -> samples with their texts and programs."""


@dataclass(frozen=True)
class Parts:
    model: Any
    tokenizer: Any
    pad: int
    encode: Callable[[Problem], list[int]]
    ended: Callable[[Problem, Sequence[int]], bool]
    """Whether a completion ends with its last token."""
    written: Written
    sampler: Sampler | None = None
    """The policy's own, which samples from `model`; it need not know of shards."""


def parts_of(policy: Any) -> Parts:
    """The parts of a configured policy, its weights loaded.

    A policy of your own joins in with a method `transformers_parts() -> Parts`. Raises ConfigError without it.
    """
    if hasattr(policy, "transformers_parts"):
        parts: Parts = policy.transformers_parts()
        return parts
    match policy.name:
        case "tiny":
            return _tiny(policy)
        case "hf":
            return _hf(policy.load())
    raise ConfigError(
        f"engine trl cannot train policy {policy.name!r}: it is not a transformers model; use engine native"
    )


def _tiny(policy: TinyPolicy) -> Parts:
    import torch

    from crestfall.testbed.policies.tiny.convert import prompt_text, to_tokenizer, to_transformers
    from crestfall.testbed.policies.tiny.tokenizer import EOS, PAD

    loaded = policy.load()
    tokenizer = to_tokenizer(loaded.tokenizer)

    def encode(problem: Problem) -> list[int]:
        ids: list[int] = tokenizer(prompt_text(problem))["input_ids"]
        return ids

    def written(problems: Sequence[Problem], group: int, tokens: Any, logprobs: Any, truncated: Any) -> Samples:
        texts = [loaded.tokenizer.decode(ids.tolist()) for ids in tokens]
        return Samples(problems, group, tokens, logprobs, truncated, texts)

    model = to_transformers(loaded)
    # The tiny policy never writes padding; here that is a bias, and no weight to be trained.
    model.lm_head.bias = torch.nn.Parameter(loaded.model.get_buffer("never").clone(), requires_grad=False)
    return Parts(model, tokenizer, PAD, encode, lambda _, tokens: tokens[-1] == EOS, written)


def _hf(loaded: Any) -> Parts:
    """A loaded policy of `policies.hf`: model, texts and sampler are its own."""
    text = loaded.text
    if text.tokenizer.pad_token_id is None:
        text.tokenizer.pad_token_id = text.pad

    def written(problems: Sequence[Problem], group: int, tokens: Any, logprobs: Any, truncated: Any) -> Samples:
        prompts = [text.encode(problem) for problem in problems]
        texts = [text.text(prompts[n // group], ids.tolist()) for n, ids in enumerate(tokens)]
        programs = [text.program(problems[n // group], answer) for n, answer in enumerate(texts)]
        return Samples(problems, group, tokens, logprobs, truncated, texts, programs)

    return Parts(
        loaded.lm.model, text.tokenizer, text.pad, lambda p: text.encode(p).tolist(), text.ended, written, loaded
    )
