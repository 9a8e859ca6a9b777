"""Token sequences of different lengths as one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from crestfall.testbed.policies.base import IntArray


def padded(sequences: Sequence[Sequence[int] | IntArray], pad: int, *, left: bool = False) -> tuple[Tensor, Tensor]:
    """Ids [B, L] and mask [B, L], 1 on real tokens. `left`: all end in the last column, where the next token is read
    off."""
    longest = max(map(len, sequences))
    ids = np.full((len(sequences), longest), pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        place = slice(longest - len(sequence), None) if left else slice(len(sequence))
        ids[row, place], mask[row, place] = sequence, 1
    return torch.from_numpy(ids), torch.from_numpy(mask)
