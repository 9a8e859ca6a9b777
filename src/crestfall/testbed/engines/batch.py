"""Inputs of a step's updates, and the measurements that they return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crestfall.guard.step_meter import k3
from crestfall.testbed.policies.base import Rows, TokenScores, separate
from crestfall.testbed.updates.base import Normalization


@dataclass(frozen=True)
class Batch:
    """Rows with their advantages. Per-row log-probs are zeros beyond the row's own tokens."""

    rows: Rows
    advantages_PG: NDArray[np.float64]
    counted_P: NDArray[np.bool_]
    """Groups that give a gradient and count in the normaliser."""
    old: Sequence[Tensor] | None = None
    """Log-probs before the step's first update, where the rule's objective asks for them."""
    reference: Sequence[Tensor] | None = None
    """Log-probs of the policy that a KL penalty refers to."""

    def advantages_of(self, rows: Rows) -> Tensor:
        return torch.from_numpy(self.advantages_PG.reshape(-1)[rows.first_R]).float()

    def scale_of(self, rows: Rows, normalization: Normalization, max_tokens: int) -> Tensor:
        """Weight of a token of each row: multiplicity and the rule's normalisation over these rows."""
        count_R = rows.count_R * self.counted_P[rows.problem_R]
        n, length_R = max(1, count_R.sum()), rows.length_R
        match normalization:
            case "sequence_sum":
                divisor = n
            case "sequence_mean":
                divisor = n * length_R
            case "token_mean":
                divisor = max(1, (count_R * length_R).sum())
            case "constant":
                divisor = n * max_tokens
        return torch.from_numpy(count_R / divisor).float()


def rows_for(unique: Rows, advantages_PG: NDArray[np.float64]) -> Rows:
    """The distinct rows, if equal completions of a group have equal advantages, as an honest reward makes sure of. Else
    (a random reward, a verdict that hung on the clock) every sample is a row of its own."""
    values_N = advantages_PG.reshape(-1)
    shared = np.array_equal(values_N, values_N[unique.first_R[unique.row_of_N]])
    return unique if shared else separate(unique.samples)


def by_row(batches: Sequence[TokenScores], rows: int) -> list[Tensor]:
    """The log-probs of each row, from microbatches in any order."""
    out: list[Tensor] = [torch.empty(0)] * rows
    for scores in batches:
        for row, logprobs in zip(scores.rows_R, scores.logprobs_RT, strict=True):
            out[row] = logprobs
    return out


def aligned(per_row: Sequence[Tensor] | None, rows_R: NDArray[np.int64], like_RT: Tensor) -> Tensor | None:
    """Values of these rows, cut or padded with zeros to the shape of `like_RT`."""
    if per_row is None:
        return None
    out = torch.zeros_like(like_RT)
    for i, row in enumerate(rows_R):
        known = per_row[row][: out.shape[1]]
        out[i, : len(known)] = known
    return out


class Mean:
    """Over tokens, each counted as often as its completion was drawn."""

    def __init__(self) -> None:
        self.total = self.count = 0.0

    def add(self, value_RT: Tensor, count_RT: Tensor) -> None:
        self.total += float((value_RT * count_RT).sum())
        self.count += float(count_RT.sum())

    @property
    def value(self) -> float:
        return self.total / self.count


class Tally:
    """Penalty and ratios, summed over the updates of a step."""

    def __init__(self) -> None:
        self.penalty: float | None = None
        self.pull: float | None = None
        self.ratio_max, self.clipped, self.tokens = 0.0, 0.0, 0.0
        self.update, self.mismatch, self.kl = 0, Mean(), Mean()

    def see_penalty(self, value_RT: Tensor, weight_RT: Tensor) -> None:
        self.penalty = (self.penalty or 0.0) + float((value_RT * weight_RT).sum())

    def see_pull(self, penalty: float) -> None:
        self.pull = (self.pull or 0.0) + penalty

    def see_ratio(self, ratio_RT: Tensor, clipped_RT: Tensor, count_RT: Tensor) -> None:
        """`count_RT`: how many samples each token stands for."""
        self.ratio_max = max(self.ratio_max, float(ratio_RT[count_RT > 0].max()))
        self.clipped += float((clipped_RT * count_RT).sum())
        self.tokens += float(count_RT.sum())

    def see_policy(self, now_RT: Tensor, drawn_RT: Tensor, old_RT: Tensor | None, count_RT: Tensor) -> None:
        """Log-probs of the trainer now, of the sampler, and of the trainer before the step's first update (None: not
        known). Before that update the trainer should say what the sampler says."""
        if self.update == 0:
            self.mismatch.add((now_RT - drawn_RT).abs(), count_RT)
        if old_RT is not None:
            self.kl.add(k3(now_RT - old_RT), count_RT)

    def signals(self, updates: int) -> dict[str, float]:
        """Penalties as means over so many updates. What kernels differ by in float32 is rounded away."""
        out = {"mismatch": round(self.mismatch.value, 5)}
        if self.kl.count:
            out["off_policy_kl"] = round(max(self.kl.value, 0.0), 7)
        if self.penalty is not None:
            out["kl_penalty"] = self.penalty / updates
        if self.pull is not None:
            out["ewc_penalty"] = self.pull / updates
        if self.tokens:
            out |= {"clip_fraction": self.clipped / self.tokens, "ratio_max": self.ratio_max}
        return out


class Observed:
    """Entropy and log-probs per token, gathered from the scores that the update computes anyway."""

    def __init__(self, rows: Rows, passed_R: NDArray[np.bool_]) -> None:
        self.count_R, self.passed_R = rows.count_R, passed_R
        self.entropy = self.tokens = 0.0
        self.logprob = {True: 0.0, False: 0.0}
        self.tokens_of = {True: 0.0, False: 0.0}

    def see(self, rows_R: NDArray[np.int64], scores: TokenScores) -> None:
        count_R = self.count_R[rows_R]
        tokens_R = count_R * scores.mask_RT.sum(dim=1).numpy()
        self.entropy += float((scores.entropy_RT.sum(dim=1).numpy() * count_R).sum())
        self.tokens += float(tokens_R.sum())
        logprob_R = scores.logprobs_RT.detach().sum(dim=1).numpy() * count_R
        for kind in (True, False):
            which = self.passed_R[rows_R] == kind
            self.logprob[kind] += float(logprob_R[which].sum())
            self.tokens_of[kind] += float(tokens_R[which].sum())

    def signals(self) -> dict[str, float]:
        out = {"entropy": self.entropy / self.tokens}
        for kind, name in ((True, "logprob_passed"), (False, "logprob_failed")):
            if self.tokens_of[kind]:
                out[name] = self.logprob[kind] / self.tokens_of[kind]
        return out
