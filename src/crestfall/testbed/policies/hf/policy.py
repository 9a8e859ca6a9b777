"""A loaded model as a policy: samples, scores and differentiates completions in microbatches of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from crestfall.core.errors import InputError
from crestfall.core.types import Problem
from crestfall.testbed.policies.base import FloatArray, IntArray, Rows, Samples, TokenScores
from crestfall.testbed.policies.hf.decode import decode
from crestfall.testbed.policies.hf.folded import folded
from crestfall.testbed.policies.hf.generate import decode_by_generate
from crestfall.testbed.policies.hf.model import CausalLM
from crestfall.testbed.policies.hf.scoring import batches, blocks, shares_prompts, states
from crestfall.testbed.policies.hf.text import Text


class LoadedHf:
    """See `policies.base.LoadedPolicy`. Deterministic on a CPU for a given number of torch threads."""

    def __init__(self, lm: CausalLM, text: Text, tokens_per_microbatch: int, sampled_tokens: int | None = None) -> None:
        self.lm, self.text, self.budget = lm, text, tokens_per_microbatch
        self.sampled = sampled_tokens or tokens_per_microbatch

    def named_parameters(self) -> Mapping[str, torch.nn.Parameter]:
        return self.lm.trainable()

    # --- sampling ---

    def sample(
        self, problems: Sequence[Problem], uniforms_PGT: FloatArray, temperature: float, greedy: bool = False
    ) -> Samples:
        with folded(self.lm.model):
            return self._sample(problems, uniforms_PGT, temperature, greedy)

    def _sample(
        self, problems: Sequence[Problem], uniforms_PGT: FloatArray, temperature: float, greedy: bool
    ) -> Samples:
        problems_count, group, longest = uniforms_PGT.shape
        prompts = self._prompts(problems, longest)
        total = problems_count * group
        tokens: list[IntArray] = [np.empty(0, dtype=np.int64)] * total
        logprobs: list[FloatArray] = [np.empty(0, dtype=np.float32)] * total
        truncated = np.zeros(total, dtype=np.bool_)
        shares = self.lm.anatomy.shares
        lengths = [len(prompt) for prompt in prompts]
        for chosen, columns in blocks(lengths, group, longest, self.sampled, equal=not shares):
            rows = (chosen[:, None] * group + columns).reshape(-1)
            out = (decode if shares else decode_by_generate)(
                self.lm,
                [prompts[p] for p in chosen],
                uniforms_PGT[chosen[:, None], columns],
                temperature,
                (rows % group == group - 1) if greedy else np.zeros(len(rows), dtype=np.bool_),
                lambda n, written, rows=rows: self.text.ended(problems[rows[n] // group], written),  # type: ignore[misc]
                self.text.pad,
            )
            for i, n in enumerate(rows):
                tokens[n] = np.array(out.tokens_N[i], dtype=np.int64)
                logprobs[n] = np.array(out.logprobs_N[i], dtype=np.float32)
            truncated[rows] = out.truncated_N
        texts = [self.text.text(prompts[n // group], row.tolist()) for n, row in enumerate(tokens)]
        programs = [self.text.program(problems[n // group], text) for n, text in enumerate(texts)]
        return Samples(problems, group, tokens, logprobs, truncated, texts, programs)

    def _prompts(self, problems: Sequence[Problem], longest: int) -> list[IntArray]:
        """Raises InputError for a prompt that leaves the model no room to answer."""
        prompts = [self.text.encode(problem) for problem in problems]
        for problem, prompt in zip(problems, prompts, strict=True):
            if self.lm.longest is not None and len(prompt) + longest > self.lm.longest:
                raise InputError(
                    f"problem {problem.task_id}: its prompt has {len(prompt)} tokens and policy.max_tokens is "
                    f"{longest}, more than the {self.lm.longest} that the model can see: use a smaller max_tokens"
                )
        return prompts

    # --- scoring ---

    def accumulate(self, rows: Rows, temperature: float, loss: Callable[[TokenScores], Tensor]) -> None:
        with self.lm.differentiating():
            for scores in self._microbatches(rows, temperature):
                loss(scores).backward()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def score(self, rows: Rows, temperature: float) -> list[TokenScores]:
        return list(self._microbatches(rows, temperature))

    def _microbatches(self, rows: Rows, temperature: float) -> Iterator[TokenScores]:
        prompts = [self.text.encode(problem) for problem in rows.samples.problems]
        lengths = np.array([len(prompt) for prompt in prompts])
        for chosen in batches(lengths, rows.problem_R, rows.length_R, self.budget, shared=shares_prompts(self.lm)):
            yield self._score(chosen, rows.take(chosen), prompts, temperature)

    def _score(self, numbers: IntArray, rows: Rows, prompts: Sequence[IntArray], temperature: float) -> TokenScores:
        tokens_R = [rows.samples.tokens_N[n] for n in rows.first_R]
        with self.lm.computing():
            states_nD = states(self.lm, prompts, rows.problem_R, tokens_R, self.text.pad)
            targets_n = torch.from_numpy(np.concatenate(tokens_R)).to(self.lm.device)
            logprobs_n, entropy_n = self.lm.token_scores(states_nD, targets_n, temperature)
        real = torch.arange(int(rows.length_R.max())) < torch.from_numpy(rows.length_R)[:, None]
        empty = torch.zeros(real.shape)
        logprobs_RT, entropy_RT = (empty.masked_scatter(real, x.cpu()) for x in (logprobs_n, entropy_n))
        return TokenScores(numbers, logprobs_RT, entropy_RT, real.float())
