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
    vllm: Literal["off", "colocate", "server"] = "off"
    """Who samples. `off`: transformers, with keyed random numbers, the same draws for any number of processes;
    `colocate`: vLLM in the training processes; `server`: a `trl vllm-serve` elsewhere. vLLM draws as it likes: a run is
    then not repeatable to the bit. UNTESTED: written against TRL's source, no GPU was at hand."""
    vllm_memory: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Share of a GPU that a colocated vLLM takes."""
    vllm_tensor_parallel: Count = 1
    """GPUs that one colocated vLLM spans."""
    vllm_server: str = "http://localhost:8000"
    """Address of the vLLM server."""
