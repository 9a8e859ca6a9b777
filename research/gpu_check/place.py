"""Setting of the checks: a device, a scale, a deadline."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

T = TypeVar("T")


@dataclass
class Place:
    device: str
    """`cuda`, or `cpu` in a rehearsal."""
    scratch: Path
    """For models and runs; deleted at the end."""
    out: Path
    """For what is kept beside the report."""
    rehearse: bool
    """Everything at a small size."""
    ceilings: dict[str, float] = field(default_factory=dict)
    """Bytes a second that are copied and FLOP a second of a bfloat16 product, as this device measured them."""

    @property
    def cuda(self) -> bool:
        return self.device == "cuda"

    def timed(self, work: Callable[[], T]) -> tuple[T, float]:
        """Result of `work`, and the seconds until the device has finished it."""
        self.wait()
        start = time.perf_counter()
        result = work()
        self.wait()
        return result, time.perf_counter() - start

    def wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def forget_peak(self) -> None:
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()

    @property
    def peak(self) -> int | None:
        """Bytes allocated at most since `forget_peak`; None: not known of a CPU."""
        return torch.cuda.max_memory_allocated() if self.cuda else None

    def clean(self) -> None:
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()


def relative_error(value: Any, reference: Any) -> float:
    """Norm of the difference over the norm of the reference, of two mappings of tensors."""
    difference = sum(float((value[k].cpu().double() - reference[k].cpu().double()).square().sum()) for k in reference)
    size = sum(float(tensor.cpu().double().square().sum()) for tensor in reference.values())
    return float((difference / max(size, 1e-300)) ** 0.5)
