"""What the scores of an update say of the policy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crestfall.testbed.policies.base import Rows, TokenScores


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
