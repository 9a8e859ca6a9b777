"""Protocol of a policy: a configuration that loads a model, which samples completions and scores them with gradients.

Engines know only this protocol; the tiny policy and Hugging Face models implement it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from crestfall.core.types import Problem

if TYPE_CHECKING:
    import torch

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Samples:
    """G completions of each of P problems. Sample g of problem p is row n = p * G + g.

    `tokens_N[n]` are the completion's token ids, its end-of-sequence token included where it ended by itself
    (`truncated_N[n]` says where it did not). `logprobs_N[n]` are the log-probabilities under which they were drawn.
    `programs_N[n]` is what is graded; a policy whose texts are no mere continuations of the stub (chat answers) says
    what programs they hold, and for any other it is stub + text.
    """

    problems: Sequence[Problem]
    group_size: int
    tokens_N: Sequence[IntArray]
    logprobs_N: Sequence[FloatArray]
    truncated_N: NDArray[np.bool_]
    texts_N: Sequence[str]
    programs_N: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.programs_N:
            programs = [problem.stub + text for problem, text in zip(self.problem_N, self.texts_N, strict=True)]
            object.__setattr__(self, "programs_N", programs)

    @property
    def problem_N(self) -> list[Problem]:
        return [problem for problem in self.problems for _ in range(self.group_size)]


@dataclass(frozen=True)
class Rows:
    """Distinct (problem, completion) pairs with how often each was drawn.

    At a low entropy many samples of a group are the same: they are scored and differentiated once, weighted by
    `count_R`.
    """

    samples: Samples
    first_R: IntArray
    count_R: IntArray
    row_of_N: IntArray

    @property
    def problem_R(self) -> IntArray:
        return self.first_R // self.samples.group_size

    @property
    def length_R(self) -> IntArray:
        return np.array([len(self.samples.tokens_N[n]) for n in self.first_R], dtype=np.int64)

    def take(self, rows: IntArray) -> Rows:
        """Some of the rows (`row_of_N` keeps meaning rows of the whole)."""
        return Rows(self.samples, self.first_R[rows], self.count_R[rows], self.row_of_N)


def distinct(samples: Samples) -> Rows:
    """The distinct rows of samples, in the order of their first occurrence."""
    seen: dict[tuple[int, bytes], int] = {}
    first: list[int] = []
    row_of = np.empty(len(samples.tokens_N), dtype=np.int64)
    for n, tokens in enumerate(samples.tokens_N):
        row = seen.setdefault((n // samples.group_size, tokens.tobytes()), len(first))
        if row == len(first):
            first.append(n)
        row_of[n] = row
    return Rows(samples, np.array(first, dtype=np.int64), np.bincount(row_of, minlength=len(first)), row_of)


def first_of(rows: Rows, samples: int) -> Rows:
    """The rows that are among the first so many samples of their group."""
    return rows.take(np.flatnonzero(rows.first_R % rows.samples.group_size < samples))


def separate(samples: Samples) -> Rows:
    """Every sample a row of its own."""
    every = np.arange(len(samples.tokens_N))
    return Rows(samples, every, np.ones_like(every), every)


@dataclass(frozen=True)
class TokenScores:
    """Scores of one microbatch of rows, padded to its longest completion; `mask_RT` is 1 on real tokens. On the CPU,
    wherever the model is: these are few numbers, and autograd finds its way back."""

    rows_R: IntArray
    logprobs_RT: torch.Tensor
    entropy_RT: torch.Tensor
    mask_RT: torch.Tensor


class LoadedPolicy(Protocol):
    """Weights, and what can be done with them."""

    def named_parameters(self) -> Mapping[str, torch.nn.Parameter]:
        """The trainable parameters by name."""
        ...

    def sample(
        self, problems: Sequence[Problem], uniforms_PGT: FloatArray, temperature: float, greedy: bool = False
    ) -> Samples:
        """Draw G completions a problem by inverting the CDF at the given uniform numbers, T tokens at most.

        `greedy`: sample G - 1 of each group is the most likely completion instead.
        """
        ...

    def accumulate(self, rows: Rows, temperature: float, loss: Callable[[TokenScores], torch.Tensor]) -> None:
        """Score all rows in microbatches and add the gradient of the summed `loss` to the parameters' `.grad`."""
        ...

    def score(self, rows: Rows, temperature: float) -> list[TokenScores]:
        """Score all rows without gradients."""
        ...


class Policy(Protocol):
    """The registered component: a frozen dataclass that says which weights to load and how."""

    name: ClassVar[str]
    max_tokens: int

    def load(self) -> LoadedPolicy: ...
