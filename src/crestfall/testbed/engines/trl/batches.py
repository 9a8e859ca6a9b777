"""Completions as the microbatches of TRL's loss: prompts padded on the left, completions on the right.

N rows are laid out by length, so that little is padding, and dealt out so that every process has equally many
microbatches of equally many rows, of similar length at any time. What is missing for that is filled up with blank rows,
which no token of the loss sees; the loss is scaled for them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crestfall.testbed.policies.base import Samples
from crestfall.testbed.policies.padding import padded

BLANK = -1


@dataclass(frozen=True)
class Layout:
    """Layout of samples in the rows of this process's microbatches."""

    rows_KB: NDArray[np.int64]
    """[K microbatches, B rows]: sample numbers, BLANK where there is none."""
    total: int
    """Rows of all processes, blank ones included."""

    def factor(self, samples: int) -> float:
        """Factor that turns a mean over all rows, blank ones included, into a mean over the samples."""
        return self.total / max(1, samples)


def layout(samples: Samples, chosen: NDArray[np.int64], size: int, rank: int, world: int) -> Layout:
    """Deal the `chosen` samples out to microbatches of `size` on `world` processes."""
    length = np.array([len(samples.tokens_N[n]) for n in chosen], dtype=np.int64)
    order = chosen[np.argsort(-length, kind="stable")]
    batches = max(1, math.ceil(len(order) / (size * world)))
    padded = np.full(batches * size * world, BLANK, dtype=np.int64)
    padded[: len(order)] = order
    return Layout(padded.reshape(batches, size, world)[:, :, rank], len(padded))


def microbatch(
    samples: Samples,
    rows_B: NDArray[np.int64],
    prompts_P: Sequence[Sequence[int]],
    advantages_N: NDArray[np.float64],
    items: float,
    pad: int,
    device: torch.device,
) -> dict[str, Tensor]:
    """The tensors of one microbatch. `items`: the tokens of the whole update, as TRL counts them."""
    real_B = rows_B != BLANK
    prompts = [prompts_P[max(n, 0) // samples.group_size] for n in rows_B]
    completions = [samples.tokens_N[n].tolist() if n != BLANK else [pad] for n in rows_B]
    prompt_ids, prompt_mask = padded(prompts, pad, left=True)
    completion_ids, completion_mask = padded(completions, pad)
    advantages_B = np.where(real_B, advantages_N[np.maximum(rows_B, 0)], 0.0)
    batch = {
        "prompt_ids": prompt_ids,
        "prompt_mask": prompt_mask,
        "completion_ids": completion_ids,
        "completion_mask": completion_mask * torch.from_numpy(real_B).long()[:, None],
        "advantages": torch.from_numpy(advantages_B).float(),
        "num_items_in_batch": torch.tensor(items),
    }
    return {name: tensor.to(device) for name, tensor in batch.items()}
