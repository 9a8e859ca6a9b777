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

from crestfall.testbed.policies.hf.anatomy import Anatomy, answering

LOGITS_PER_CHUNK = 2**25
"""128 MB in float32, of which the backward pass holds some four at a time."""


class CausalLM:
    """Never in training mode but under gradient checkpointing, which needs it; there is no dropout in either."""

    def __init__(self, model: Any, anatomy: Anatomy, bfloat16: bool = False, checkpointing: bool = False) -> None:
        self.model, self.bfloat16, self.checkpointing = model, bfloat16, checkpointing
        self.anatomy = anatomy
        self.body = anatomy.body_of(model)
        text = model.config.get_text_config()
        self.vocabulary = int(text.vocab_size)
        self.longest: int | None = getattr(text, "max_position_embeddings", None)
        self._takes_positions = "position_ids" in inspect.signature(self.body.forward).parameters

    @property
    def device(self) -> torch.device:
        """Current device of the model: a trainer may have moved it."""
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
        """Last hidden states [B, L, D]. `mask_B`: [B, cached + L], 1 on real tokens.

        Of a model that shares nothing all rows begin at their first token: padding is behind, where no token looks,
        and a mask would only be one more thing that families read differently.
        """
        options: dict[str, Any] = {"use_cache": cache is not None}
        if self.anatomy.shares:
            options |= {"attention_mask": mask_B, "past_key_values": cache}
            if self._takes_positions:
                options["position_ids"] = positions_BL
        states: Tensor = self.body(input_ids=ids_BL, **options).last_hidden_state
        return states

    def logits(self, states_nD: Tensor) -> Tensor:
        """float32 logits [n, V]: the model's own forward pass with the body's answer given, so that whatever it does to
        its logits (soft caps, scales) is done."""
        ids = torch.zeros(1, len(states_nD), dtype=torch.long, device=states_nD.device)  # nothing is read from them
        with answering(self.body, states_nD[None]):
            out: Tensor = self.model(input_ids=ids, use_cache=False).logits[0].float()
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
