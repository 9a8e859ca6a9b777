"""DAPO (Yu et al. 2025): GRPO with decoupled clipping, a token mean, and only groups that have a signal.

The upper clip is wider than the lower one ("clip higher"), which lets unlikely tokens grow; every token of the batch
counts alike; groups in which all or none passed are left out. DAPO samples anew until a batch is full ("dynamic
sampling"); here a step has its set problems, so that arms see the same data, and the groups without signal only drop
out of the normaliser: the step is one with a smaller batch. DAPO's reward shaping for overlong replies is not part of
it.

Degenerate case: a batch in which no group has a signal gives no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crestfall.core.registry import register
from crestfall.testbed.updates.base import Normalization
from crestfall.testbed.updates.grpo import GRPO


@register("update", "dapo")
@dataclass(frozen=True, kw_only=True)
class DAPO(GRPO):
    """GRPO with clip higher, a token mean and without groups that have no signal."""

    name: ClassVar[str]

    clip_high: Annotated[float, Field(ge=0)] = 0.28
    """Upper clip bound: a probability ratio above 1 + `clip_high` is not pushed further up. It is wider than the lower
    bound, as in DAPO. It has no effect with one update per batch."""
    normalization: Normalization = "token_mean"
    """`token_mean` gives every token of the batch the same weight."""
    zero_variance_groups: Literal["counted", "left_out"] = "left_out"
    """DAPO's dynamic sampling, without the resampling."""
