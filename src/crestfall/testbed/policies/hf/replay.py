"""A decoding step of a fixed shape, which a CUDA device replays.

A step of a small model is a thousand kernels of some microseconds each: launching them one by one from Python takes ten
times as long as they run. Captured once for a batch, they are launched together (CUDA graphs). What such a step reads
and writes must stay where it is: keys and values have room for all tokens from the start, a mask says which of them are
there, and rows that have ended stay in the batch.

Shapes: R rows, W places of a row (its prompt with padding, and the tokens to come), H heads, D head width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from crestfall.testbed.policies.hf.model import CausalLM

Draw = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(last hidden states [R, width], uniforms [R]) -> tokens [R], log-probs [R]"""


class Replayed:
    """Steps of one batch after its prompts: from the token of each row to the next one."""

    def __init__(self, lm: CausalLM, cache: Any, mask_RL: Tensor, longest: int, draw: Draw) -> None:
        """`cache`: of the prompts; it is taken over. `longest`: tokens to come, at most."""
        self._lm, self._cache, self._draw = lm, cache, draw
        rows, prompt = mask_RL.shape
        self._mask = pad(mask_RL.bool(), (0, longest))[:, None, None]
        self._position_R1 = mask_RL.sum(1, keepdim=True) - 1
        self._place = torch.full((1,), prompt - 1, device=mask_RL.device)
        self._token_R1 = torch.zeros(rows, 1, dtype=torch.long, device=mask_RL.device)
        self._uniforms_R = torch.zeros(rows, device=mask_RL.device)
        for layer in cache.layers:
            layer.keys, layer.values = (pad(x, (0, 0, 0, longest)) for x in (layer.keys, layer.values))
            layer.update = partial(_write, layer.keys, layer.values, self._place)
        self._graph: Any = None
        self._out: tuple[Tensor, Tensor] | None = None

    def __call__(self, token_R: Tensor, uniforms_R: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [R] and log-probs [R] behind these tokens. The next call overwrites them."""
        self._token_R1.copy_(token_R[:, None])
        self._uniforms_R.copy_(uniforms_R)
        self._place.add_(1)
        self._position_R1.add_(1)
        self._mask.index_fill_(3, self._place, True)
        if self._graph is not None:
            self._graph.replay()
        elif self._out is None or self._place.device.type != "cuda":
            self._out = self._step()  # once before it is captured: libraries prepare themselves
        else:
            self._graph = torch.cuda.CUDAGraph()
            # Nothing is computed in it. What other threads do on the device is none of its business.
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._out = self._step()
            self._graph.replay()
        assert self._out is not None
        return self._out

    def _step(self) -> tuple[Tensor, Tensor]:
        states = self._lm.states(self._token_R1, self._mask, self._position_R1, self._cache)
        return self._draw(states[:, -1], self._uniforms_R)


def fits(cache: Any) -> bool:
    """Whether every layer of the cache holds all keys and values, and no window of them."""
    from transformers.cache_utils import DynamicLayer

    return all(type(layer) is DynamicLayer for layer in cache.layers)


def _write(
    keys_RHWD: Tensor, values_RHWD: Tensor, place: Tensor, keys_RH1D: Tensor, values_RH1D: Tensor, *_: Any, **__: Any
) -> tuple[Tensor, Tensor]:
    """As `DynamicLayer.update`, which takes all types too (autocast makes values of another one than keys), but into
    room that is there."""
    keys_RHWD.index_copy_(2, place, keys_RH1D.to(keys_RHWD.dtype))
    values_RHWD.index_copy_(2, place, values_RH1D.to(values_RHWD.dtype))
    return keys_RHWD, values_RHWD
