"""Host memory that is used again: the first copy into a fresh page costs eight times what a later one costs."""

from __future__ import annotations

from collections import defaultdict
from typing import Any


class Buffers:
    """CPU tensors that no snapshot needs any more, to copy the next one into.

    At most the buffers of one snapshot wait here: what `give` brings replaces what is left of the one before.
    """

    def __init__(self) -> None:
        self._free: dict[tuple[Any, ...], list[Any]] = {}

    def copy(self, tensor: Any) -> Any:
        """A contiguous CPU copy of a tensor."""
        import torch

        waiting = self._free.get((tensor.dtype, tuple(tensor.shape)))
        buffer = waiting.pop() if waiting else torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
        return buffer.copy_(tensor.detach())

    def give(self, tensors: list[Any]) -> None:
        """Take over tensors that nobody else looks at any more."""
        free: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
        for tensor in tensors:
            free[tensor.dtype, tuple(tensor.shape)].append(tensor)
        self._free = dict(free)

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for waiting in self._free.values() for tensor in waiting)
