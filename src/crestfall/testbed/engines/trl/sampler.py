"""Completions from a transformers model, each token drawn with its own keyed uniform number.

By `generate` with a logits processor that leaves the drawn token alone: the model's own generation_config is not read,
and no global random number is used up. A completion is a function of the weights, the problem and its uniform numbers,
up to rounding: the same for every batch size and number of processes, after every resume, and the same as the native
engine draws from the same numbers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from crestfall.core.types import Problem
from crestfall.testbed.engines.sampling import Sampler
from crestfall.testbed.policies.base import FloatArray, IntArray, Samples
from crestfall.testbed.policies.hf.generate import generate
from crestfall.testbed.policies.padding import padded

if TYPE_CHECKING:
    from crestfall.testbed.engines.trl.models import Parts


class KeyedSampler:
    """Samples this process's problems from the trainer's model, sharded or not; `rows` completions at a time."""

    def __init__(self, parts: Parts, trainer: Any, rows: int) -> None:
        self._parts, self._trainer, self._rows = parts, trainer, rows

    @torch.no_grad()
    def sample(
        self, problems: Sequence[Problem], uniforms_PGT: FloatArray, temperature: float, greedy: bool = False
    ) -> Samples:
        group, longest = uniforms_PGT.shape[1:]
        uniforms_NT = torch.from_numpy(uniforms_PGT.reshape(-1, longest))
        numbers_N = torch.arange(len(uniforms_NT))
        greedy_N = (numbers_N % group == group - 1) & greedy
        tokens: list[IntArray] = []
        logprobs: list[FloatArray] = []
        live: list[bool] = []
        self._trainer.model.eval()
        device = self._trainer.accelerator.device
        for rows in torch.split(numbers_N, self._rows):
            of_rows = [problems[int(n) // group] for n in rows]
            ids, mask = padded([self._parts.encode(problem) for problem in of_rows], self._parts.pad, left=True)
            out = generate(
                self._trainer.model,
                ids.to(device),
                mask.to(device),
                uniforms_NT[rows].to(device),
                temperature,
                greedy_N[rows].to(device),
                lambda n, written, of_rows=of_rows: self._parts.ended(of_rows[n], written),  # type: ignore[misc]
                self._parts.pad,
            )
            tokens += [np.array(row, dtype=np.int64) for row in out.tokens_N]
            logprobs += [np.array(row, dtype=np.float32) for row in out.logprobs_N]
            live += out.truncated_N.tolist()
        return self._parts.written(problems, group, tokens, logprobs, np.array(live, dtype=np.bool_))


class Sharded:
    """Lets every process sample some of the problems, and gives all of them all samples."""

    def __init__(self, local: Sampler, accelerator: Any) -> None:
        self._local, self._accelerator = local, accelerator

    def sample(
        self, problems: Sequence[Problem], uniforms_PGT: FloatArray, temperature: float, greedy: bool = False
    ) -> Samples:
        rank, world = self._accelerator.process_index, self._accelerator.num_processes
        if world == 1:
            return self._local.sample(problems, uniforms_PGT, temperature, greedy)
        from accelerate.utils import gather_object

        # Equally many for each, or collectives inside would not meet: who has none left repeats from the beginning.
        count, group = len(problems), uniforms_PGT.shape[1]
        mine = [i % count for i in range(rank, math.ceil(count / world) * world, world)]
        own = self._local.sample([problems[i] for i in mine], uniforms_PGT[mine], temperature, greedy)
        rows = list(zip(*(list(getattr(own, name)) for name in _OF_A_SAMPLE), strict=True))
        groups = dict(gather_object([(i, rows[k * group : (k + 1) * group]) for k, i in enumerate(mine)]))
        columns = zip(*(row for i in range(count) for row in groups[i]), strict=True)
        of_samples: dict[str, Any] = dict(zip(_OF_A_SAMPLE, columns, strict=True))
        of_samples["truncated_N"] = np.array(of_samples["truncated_N"], dtype=np.bool_)
        return Samples(problems, group, **of_samples)


_OF_A_SAMPLE = tuple(f.name for f in dataclasses.fields(Samples) if f.name not in ("problems", "group_size"))
