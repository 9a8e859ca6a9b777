"""A loaded model as a policy: samples, scores and differentiates completions in microbatches of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crestfall.errors import InputError
from crestfall.policies.base import FloatArray, IntArray, Rows, Samples, TokenScores
from crestfall.policies.hf.decode import decode
from crestfall.policies.hf.model import CausalLM
from crestfall.policies.hf.text import Text
from crestfall.types import Problem


class LoadedHf:
    """See `policies.base.LoadedPolicy`. Deterministic on a CPU for a given number of torch threads."""

    def __init__(self, lm: CausalLM, text: Text, tokens_per_microbatch: int) -> None:
        self.lm, self.text, self.budget = lm, text, tokens_per_microbatch

    def named_parameters(self) -> Mapping[str, torch.nn.Parameter]:
        return self.lm.trainable()

    # --- sampling ---

    def sample(
        self, problems: Sequence[Problem], uniforms_PGT: FloatArray, temperature: float, greedy: bool = False
    ) -> Samples:
        problems_count, group, longest = uniforms_PGT.shape
        prompts = self._prompts(problems, longest)
        total = problems_count * group
        tokens: list[IntArray] = [np.empty(0, dtype=np.int64)] * total
        logprobs: list[FloatArray] = [np.empty(0, dtype=np.float32)] * total
        truncated = np.zeros(total, dtype=np.bool_)
        for chosen, columns in blocks([len(prompt) for prompt in prompts], group, longest, self.budget):
            rows = (chosen[:, None] * group + columns).reshape(-1)
            out = decode(
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
        prompt_R = [prompts[p] for p in rows.problem_R]
        tokens_R = [rows.samples.tokens_N[n] for n in rows.first_R]
        sizes = np.array([len(a) + len(b) for a, b in zip(prompt_R, tokens_R, strict=True)])
        for chosen in batches(sizes, self.budget):
            yield self._score(chosen, [prompt_R[r] for r in chosen], [tokens_R[r] for r in chosen], temperature)

    def _score(
        self, rows: IntArray, prompts: Sequence[IntArray], tokens: Sequence[IntArray], temperature: float
    ) -> TokenScores:
        """Padded on the right, where no real token looks; the head sees the tokens of the completions and no others."""
        width = max(len(a) + len(b) for a, b in zip(prompts, tokens, strict=True))
        ids = np.full((len(rows), width), self.text.pad, dtype=np.int64)
        mask = np.zeros((len(rows), width), dtype=np.int64)
        for i, (prompt, completion) in enumerate(zip(prompts, tokens, strict=True)):
            end = len(prompt) + len(completion)
            ids[i, :end], mask[i, :end] = np.concatenate((prompt, completion)), 1
        lengths = np.array([len(completion) for completion in tokens])
        row_n = np.repeat(np.arange(len(rows)), lengths)
        # The state that says a token stands one place before it.
        place_n = np.concatenate([len(p) - 1 + np.arange(len(t)) for p, t in zip(prompts, tokens, strict=True)])
        device = self.lm.device
        with self.lm.computing():
            positions = torch.arange(width, device=device).expand(len(rows), -1)
            states = self.lm.states(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device), positions)
            targets_n = torch.from_numpy(np.concatenate(tokens)).to(device)
            logprobs_n, entropy_n = self.lm.token_scores(states[row_n, place_n], targets_n, temperature)
        real = torch.arange(int(lengths.max())) < torch.from_numpy(lengths)[:, None]
        empty = torch.zeros(real.shape)
        return TokenScores(
            rows,
            empty.masked_scatter(real, logprobs_n.cpu()),
            empty.masked_scatter(real, entropy_n.cpu()),
            real.float(),
        )


def batches(sizes: NDArray[np.int64], budget: int) -> Iterator[IntArray]:
    """Indices of sequences, longest first, in batches of at most `budget` tokens with their padding; one at least."""
    order = np.argsort(-sizes, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, budget // int(sizes[order[start]]))
        yield order[start : start + count]
        start += count


def blocks(prompts: Sequence[int], group: int, longest: int, budget: int) -> Iterator[tuple[IntArray, IntArray]]:
    """(problems, columns of their groups) to be sampled together: `budget` tokens if all are written to the end.

    A group is split only where it is too large by itself. `prompts`: lengths; those of similar length go together.
    """
    order = np.argsort(-np.array(prompts), kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, budget // (prompts[order[start]] + longest))
        problems = order[start : start + max(1, rows // group)]
        for columns in np.array_split(np.arange(group), -(-group // rows)):
            yield problems, columns
        start += len(problems)
