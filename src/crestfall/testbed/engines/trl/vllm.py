"""Completions from vLLM, through TRL's own client of it. UNTESTED: no machine with a GPU was at hand.

The temperature is passed anew at every call, training and evaluation alike; top-p, top-k, min-p and the repetition
penalty are TRL's neutral defaults. vLLM's copy of the weights is renewed whenever an update or a rollback has changed
ours. Its draws are its own: the keyed uniform numbers are not used, and a run is not repeatable to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from crestfall.core.types import Problem
from crestfall.testbed.policies.base import FloatArray, Samples

if TYPE_CHECKING:
    from crestfall.testbed.engines.trl.models import Parts


class VllmSampler:
    """Samples this process's problems; with a server all processes call it together."""

    def __init__(self, parts: Parts, trainer: Any) -> None:
        self._parts, self._trainer = parts, trainer

    def sample(
        self, problems: Sequence[Problem], uniforms_PGT: FloatArray, temperature: float, greedy: bool = False
    ) -> Samples:
        self._renew_weights()
        group = uniforms_PGT.shape[1]
        drawn = group - int(greedy)
        rows_PG = self._generate(problems, drawn, temperature)
        if greedy:
            best = self._generate(problems, 1, 0.0)
            rows_PG = [[*rows, *last] for rows, last in zip(rows_PG, best, strict=True)]
        rows = [row for rows in rows_PG for row in rows]
        tokens = [np.array(ids, dtype=np.int64) for ids, _ in rows]
        logprobs = [np.array(logs, dtype=np.float32) for _, logs in rows]
        ends = [self._parts.ended(problems[n // group], ids.tolist()) for n, ids in enumerate(tokens)]
        return self._parts.written(problems, group, tokens, logprobs, ~np.array(ends, dtype=np.bool_))

    def _generate(
        self, problems: Sequence[Problem], n: int, temperature: float
    ) -> list[list[tuple[list[int], list[float]]]]:
        """Per problem, n completions: token ids and log-probs."""
        backend = self._trainer.vllm_generation
        backend.temperature = temperature
        prompts = [self._parts.encode(problem) for problem in problems for _ in range(n)]
        _, ids, logprobs, _ = backend.generate(prompts=prompts, images=None, num_generations=n)
        # Of each token the sampled one's log-prob; None where vLLM has none.
        own = [[float("nan") if token[0] is None else token[0] for token in row] for row in logprobs]
        rows = [(list(row), logs) for row, logs in zip(ids, own, strict=True)]
        return [rows[k : k + n] for k in range(0, len(rows), n)]

    def _renew_weights(self) -> None:
        trainer = self._trainer
        if trainer.state.global_step != trainer._last_loaded_step:
            trainer.vllm_generation.sync_weights()
            trainer._last_loaded_step = trainer.state.global_step
