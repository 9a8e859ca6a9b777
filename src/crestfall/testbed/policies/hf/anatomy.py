"""Capabilities of a transformers model, known from its configuration before any weight is read.

Every model is taken apart into its body and its head, so that logits exist for a few tokens at a time. One whose cache
holds keys and values alone computes a prompt once for all its completions; one with recurrent layers (Mamba, the hybrid
models) cannot: it is sampled through `generate`, and every completion is scored with its prompt.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from crestfall.core.errors import ConfigError

_BODIES = ("", "decoder")  # OPT's head reads the decoder inside its base model


@dataclass(frozen=True)
class Anatomy:
    body: str = ""
    """Path of the body below `model.base_model`."""
    shares: bool = True
    """Whether a prompt's keys and values can serve many completions."""
    caches: bool = True
    """Whether the model continues from a cache of its own; else every token is computed with all before it."""
    replays: bool = False
    """Whether decoding steps have a fixed shape, which a CUDA device replays."""

    def body_of(self, model: Any) -> Any:
        return model.base_model.get_submodule(self.body)


def anatomy(config: Any) -> Anatomy:
    """Raises ConfigError for a model that cannot be taken apart."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    text = config.get_text_config()
    for path in _BODIES:
        found = Anatomy(path, shares=not (getattr(model, "_is_stateful", False) or _recurrent(config)))
        if (not path or hasattr(model.base_model, path)) and _is_body(model, found.body_of(model), text):
            return found
    raise ConfigError(
        f"policy.model: {type(model).__name__} cannot be trained here: its output layer does not run apart from its "
        "body; docs/models.md lists families that can"
    )


def _recurrent(config: Any) -> bool:
    """Whether the model's cache has layers other than keys and values."""
    from transformers import DynamicCache, cache_utils

    state = getattr(cache_utils, "LinearAttentionCacheLayerMixin", ())
    return any(isinstance(layer, state) for layer in DynamicCache(config=config).layers)


def _is_body(model: Any, body: Any, text: Any) -> bool:
    """Whether the model's own forward pass turns the body's output into logits."""
    states = torch.empty(1, 3, text.hidden_size, device="meta", dtype=model.dtype)
    try:
        with answering(body, states) as asked:
            out = model(input_ids=torch.zeros(1, 3, dtype=torch.long, device="meta"), use_cache=False).logits
    except Exception:  # whatever a model does that was not made for this
        return False
    return bool(asked) and tuple(out.shape) == (1, 3, text.vocab_size)


@contextmanager
def answering(body: Any, states: Tensor) -> Iterator[list[bool]]:
    """For as long as the block lasts, `body` returns these states whatever it is asked. Yields a list that is empty
    until it is."""
    asked: list[bool] = []
    answer = _answer(states)

    def forward(*_: Any, **__: Any) -> Any:
        asked.append(True)
        return answer

    own = body.__dict__.get("forward")
    body.forward = forward
    try:
        yield asked
    finally:
        del body.forward
        if own is not None:
            body.forward = own


def _answer(states: Tensor) -> Any:
    from transformers.modeling_outputs import BaseModelOutputWithPast

    class Answer(BaseModelOutputWithPast):  # type: ignore[misc]
        """States, and None for all that the body of this or that family answers beside (router logits, a state)."""

        def __getattr__(self, name: str) -> None:
            if name.startswith("__"):
                raise AttributeError(name)

    return Answer(last_hidden_state=states)
