"""Completions from a transformers model, each token drawn with its own keyed uniform number.

No `generate()`: a model's own generation_config cannot leak in, and no global random number is used up. A completion is
a function of the weights, the problem and its uniform numbers, up to rounding: the same for every batch size and number
of processes, after every resume, and the same as the native engine draws from the same numbers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from crestfall.core.types import Problem
from crestfall.testbed.engines.sampling import Sampler
from crestfall.testbed.engines.trl.batches import padded
from crestfall.testbed.policies.base import FloatArray, IntArray, Samples

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
        for rows in torch.split(numbers_N, self._rows):
            of_rows = [problems[int(n) // group] for n in rows]
            ids, logs, unfinished = self._decode(of_rows, uniforms_NT[rows], temperature, greedy_N[rows])
            tokens += ids
            logprobs += logs
            live += unfinished
        return self._parts.written(problems, group, tokens, logprobs, np.array(live, dtype=np.bool_))

    def _decode(
        self, problems: Sequence[Problem], uniforms_NT: Tensor, temperature: float, greedy_N: Tensor
    ) -> tuple[list[IntArray], list[FloatArray], list[bool]]:
        """Of each row: its tokens, the ending one included; their log-probs; whether it did not end."""
        model, device = self._trainer.model, self._trainer.accelerator.device
        prompts = [self._parts.encode(problem) for problem in problems]
        ids, mask = (tensor.to(device) for tensor in padded(prompts, self._parts.pad, left=True))
        uniforms_NT, greedy_N = uniforms_NT.to(device), greedy_N.to(device)
        positions, past = (mask.cumsum(dim=1) - 1).clamp(min=0), None
        tokens: list[list[int]] = [[] for _ in problems]
        logprobs: list[list[float]] = [[] for _ in problems]
        live = [True] * len(problems)
        for t in range(uniforms_NT.shape[1]):
            out = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=past,
                use_cache=True,
                logits_to_keep=1,
            )
            past = out.past_key_values
            choice_N, logprob_N = _draw(out.logits[:, -1].float() / temperature, uniforms_NT[:, t], greedy_N)
            for n, (token, logprob) in enumerate(zip(choice_N.tolist(), logprob_N.tolist(), strict=True)):
                if live[n]:
                    tokens[n].append(token)
                    logprobs[n].append(logprob)
                    live[n] = not self._parts.ended(problems[n], tokens[n])
            if not self._anywhere(any(live)):
                break
            ids, positions = choice_N[:, None], positions[:, -1:] + 1
            mask = torch.cat((mask, torch.ones_like(ids)), dim=1)
        return (
            [np.array(row, dtype=np.int64) for row in tokens],
            [np.array(row, dtype=np.float32) for row in logprobs],
            live,
        )

    def _anywhere(self, live: bool) -> bool:
        """Where weights are sharded a forward pass is a collective: all processes go on until the last one is done."""
        if not self._trainer.is_fsdp_enabled:
            return live
        accelerator = self._trainer.accelerator
        return bool(accelerator.reduce(torch.tensor(int(live), device=accelerator.device), "sum"))


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


def _draw(logits: Tensor, uniforms_N: Tensor, greedy_N: Tensor) -> tuple[Tensor, Tensor]:
    """One token [N] and its log-prob [N] a row: the first at which the cumulative probability exceeds the uniform
    number, or the most likely one."""
    log_p = logits.log_softmax(dim=-1)
    # In float64: over 200,000 words the rounding of a float32 sum is larger than most of their probabilities.
    cdf = log_p.double().exp().cumsum(dim=-1)
    drawn = torch.searchsorted(cdf, uniforms_N[:, None] * cdf[:, -1:], right=True)[:, 0].clamp(max=log_p.shape[1] - 1)
    choice_N = torch.where(greedy_N, log_p.argmax(dim=-1), drawn)
    return choice_N, log_p.gather(-1, choice_N[:, None])[:, 0]
