"""The options of the `trl` engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class TrlOptions:
    """Options of sampling and training with TRL's trainer."""

    microbatch: Count = 16
    """Completions per process in one backward pass. More need more memory; the gradient is the same up to rounding."""
    sample_rows: Count = 128
    """Completions that a process samples at once, if the policy has no sampler of its own. More need more memory."""
    device: Literal["auto", "cpu"] = "auto"
    """`auto`: the GPUs where there are any."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """CPU threads of torch per process. As with `native`, it is part of the run's configuration."""
    mixed_precision: Literal["no", "bf16"] = "no"
    """`bf16`: forward and backward in bfloat16 under autocast, weights and Adam in their own type."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
