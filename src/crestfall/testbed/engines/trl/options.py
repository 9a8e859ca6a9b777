"""The options of the `trl` engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class TrlOptions:
    """How TRL's trainer samples and trains, and on what."""

    microbatch: Count = 16
    """Completions that a process differentiates at once. Memory; the gradient is the same to rounding."""
    sample_rows: Count = 128
    """Completions that a process samples at once, where the policy brings no sampler of its own. Memory."""
    device: Literal["auto", "cpu"] = "auto"
    """`auto`: the GPUs where there are any."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """CPU threads of torch in each process; part of the run, as with `native`."""
    mixed_precision: Literal["no", "bf16"] = "no"
    """`bf16`: forward and backward in bfloat16 under autocast, weights and Adam in their own type."""
    gradient_checkpointing: bool = False
    """Computes activations again in the backward pass: less memory, about a third more work."""
