"""One token of each row, chosen by a uniform number."""

from __future__ import annotations

import torch
from torch import Tensor


def draw(logits_RV: Tensor, uniforms_R: Tensor, temperature: float, greedy_R: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens [R] and their log-probs [R] under softmax(logits / temperature): the first token at which the cumulative
    probability exceeds the row's uniform number; where `greedy_R`, the most likely one."""
    log_p = (logits_RV / temperature).log_softmax(dim=-1)
    # Summed in float64: over 262,144 words the rounding of float32 is larger than most of their probabilities.
    cdf = log_p.exp().cumsum(dim=-1, dtype=torch.float64)
    choice = torch.searchsorted(cdf, uniforms_R[:, None] * cdf[:, -1:], right=True)[:, 0]
    choice = torch.where(greedy_R, log_p.argmax(dim=-1), choice.clamp(max=log_p.shape[1] - 1))
    return choice, log_p.gather(-1, choice[:, None])[:, 0]
