"""A checksum for tensors wherever they are: the sum of their 64-bit words, modulo 2^64.

Five times as fast as a CRC on the CPU and next to nothing on a GPU. It tells a torn, rotten or other tensor from the
one that was meant; it is no protection against somebody who wants to deceive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from crestfall.store.tensors import Shard

_WORD = 8


def checksums(leaves: Mapping[str, Any]) -> dict[str, int]:
    """Name -> checksum of plain tensors, shards (their local part) and arrays. One wait for the device in all."""
    sums = {name: _sum(leaf.local if isinstance(leaf, Shard) else leaf) for name, leaf in leaves.items()}
    for device in {value.device for value in sums.values() if hasattr(value, "device")}:
        sums |= _fetched({name: value for name, value in sums.items() if getattr(value, "device", None) == device})
    return {name: int(value) & (2**64 - 1) for name, value in sums.items()}


def _fetched(sums: Mapping[str, Any]) -> dict[str, int]:
    import torch

    return dict(zip(sums, torch.stack(list(sums.values())).tolist(), strict=True))


def _sum(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        raw = np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)
        whole = len(raw) // _WORD * _WORD
        return int(raw[:whole].view(np.uint64).sum(dtype=np.uint64)) + int.from_bytes(raw[whole:].tobytes(), "little")
    import torch

    raw = leaf.detach().contiguous().reshape(-1).view(torch.uint8)
    whole = raw.numel() // _WORD * _WORD
    rest = int.from_bytes(bytes(raw[whole:].tolist()), "little")
    if raw.data_ptr() % _WORD:  # a view into the middle of something
        raw = raw.clone()
    return raw[:whole].view(torch.int64).sum() + rest if whole else rest
