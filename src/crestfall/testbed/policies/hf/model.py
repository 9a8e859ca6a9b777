"""A transformers model taken apart into its body (tokens to states) and its head (states to logits).

The head is run on a few tokens at a time: with 262,144 words in the vocabulary, the logits of one microbatch of 16,384
tokens would be 17 GB, in the forward pass and again in the backward pass.

Shapes: B sequences, L tokens, D width, V vocabulary; n tokens picked out of B x L.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

LOGITS_PER_CHUNK = 2**25
"""128 MB in float32, of which the backward pass holds some four at a time."""


class CausalLM:
    """Never in training mode but under gradient checkpointing, which needs it; there is no dropout in either."""

    def __init__(self, model: Any, bfloat16: bool = False, checkpointing: bool = False) -> None:
        self.model, self.bfloat16, self.checkpointing = model, bfloat16, checkpointing
        self.body = model.base_model
        text = model.config.get_text_config()
        self.vocabulary = int(text.vocab_size)
        self.longest: int | None = getattr(text, "max_position_embeddings", None)
        self._takes_positions = "position_ids" in inspect.signature(self.body.forward).parameters

    @property
    def device(self) -> torch.device:
        """Where the model is now: a trainer may have moved it."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def trainable(self) -> dict[str, torch.nn.Parameter]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def computing(self) -> AbstractContextManager[Any]:
        """In the precision that was asked for. One block around a whole decoding casts each weight once."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    @contextmanager
    def differentiating(self) -> Iterator[None]:
        """With gradient checkpointing on, where it is asked for."""
        self.model.train(self.checkpointing)
        try:
            yield
        finally:
            self.model.eval()

    def new_cache(self) -> Any:
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config)

    def states(self, ids_BL: Tensor, mask_B: Tensor, positions_BL: Tensor, cache: Any = None) -> Tensor:
        """Last hidden states [B, L, D]. `mask_B`: [B, cached + L], 1 on real tokens."""
        positions = {"position_ids": positions_BL} if self._takes_positions else {}
        states: Tensor = self.body(
            input_ids=ids_BL, attention_mask=mask_B, past_key_values=cache, use_cache=cache is not None, **positions
        ).last_hidden_state
        return states

    def logits(self, states_nD: Tensor) -> Tensor:
        """float32 logits [n, V]: the model's own forward pass with the body's answer given, so that whatever it does to
        its logits (soft caps, scales) is done."""
        with _answering(self.body, states_nD[None]):
            out: Tensor = self.model(input_ids=None, use_cache=False).logits[0].float()
        return out

    def chunks(self, n: int) -> Iterator[slice]:
        """n tokens in pieces whose logits are few enough."""
        size = max(1, LOGITS_PER_CHUNK // self.vocabulary)
        return (slice(start, start + size) for start in range(0, n, size))

    def token_scores(self, states_nD: Tensor, targets_n: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Log-probs [n] of the targets, and entropies [n] without gradient, of softmax(logits / temperature).

        The logits exist for one chunk at a time: the backward pass computes them again.
        """

        def score(states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            log_p = (self.logits(states) / temperature).log_softmax(dim=-1)
            chosen = log_p.gather(-1, targets[:, None])[:, 0]
            with torch.no_grad():
                entropy = torch.special.entr(log_p.exp()).sum(dim=-1)
            return chosen, entropy

        parts = [
            checkpoint(score, states_nD[c], targets_n[c], use_reentrant=False, preserve_rng_state=False)
            for c in self.chunks(len(targets_n))
        ]
        logprobs, entropies = zip(*parts, strict=True)
        return torch.cat(logprobs), torch.cat(entropies)


@contextmanager
def _answering(body: Any, states: Tensor) -> Iterator[None]:
    """For as long as the block lasts, `body` returns these states whatever it is asked."""
    from transformers.modeling_outputs import BaseModelOutputWithPast

    own = body.__dict__.get("forward")
    body.forward = lambda *args, **kwargs: BaseModelOutputWithPast(last_hidden_state=states)
    try:
        yield
    finally:
        del body.forward
        if own is not None:
            body.forward = own
