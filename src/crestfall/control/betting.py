"""Is the policy worse, or better, than its rival? Bets on paired samples, valid at every look.

A duel (`core.types.Duel`) draws the same samples from both policies. D of a sample is 1 where only the policy of now
passed it, -1 where only the rival did, else 0. Given the two policies the samples are independent, and under the null
hypothesis "not worse" the mean of E[D] over the problems of the set is at least 0. Then for every bet b in [0, 1)

    e = prod(1 - b D) = (1 - b)^wins (1 + b)^losses

has an expectation of at most 1: the factors' expectations 1 - b E[D] are positive numbers whose arithmetic mean is at
most 1, so their product is at most 1 as well. That holds for problems of any difficulty; nothing is assumed of their
distribution. Products over steps are a test supermartingale, whatever policy trains and whichever step is the rival, as
long as both are known before the samples are drawn. By Ville's inequality it reaches 1 / alpha with a chance of at most
alpha, ever.

Two mixtures keep that property. Over bets: a large one sees a collapse at once, a small one a slow decline. Over the
step at which the fall begins, weights w_t that sum to 1: what was won before it would else have to be lost first.

    M_t = e_t (M_{t-1} + w_t),    E_t = M_t + (1 - w_1 - ... - w_t)

Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting" (the bets); Ramdas et al. 2023,
"Game-theoretic statistics and safe anytime-valid inference" (e-processes, Ville); Shin, Ramdas & Rinaldo 2023,
"E-detectors" (sums over starting points). On discordant pairs alone, with one look, it is McNemar's test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BETS = (0.05, 0.1, 0.2, 0.4, 0.7)
SPREAD = 5
"""Half of the weight lies on falls that begin within so many steps."""


@dataclass(frozen=True)
class Bets:
    """A test that goes on for as long as duels come in. Its state is plain JSON data."""

    def init(self) -> Mapping[str, Any]:
        return {"looks": 0, "log_wealth": [None] * len(BETS)}

    def update(self, state: Mapping[str, Any], against: int, in_favour: int) -> tuple[Mapping[str, Any], float]:
        """Take in a duel. Returns the new state and log E.

        Args:
            against: samples that speak against the alternative (for a fall: wins).
            in_favour: samples that speak for it (for a fall: losses).
        """
        looks = state["looks"] + 1
        weight = SPREAD / ((looks - 1 + SPREAD) * (looks + SPREAD))
        wealth = [
            _log_sum(before, math.log(weight)) + against * math.log1p(-bet) + in_favour * math.log1p(bet)
            for bet, before in zip(BETS, state["log_wealth"], strict=True)
        ]
        tail = math.log(SPREAD / (looks + SPREAD))
        mean = -math.inf
        for each in wealth:
            mean = _log_sum(mean, each)
        return {"looks": looks, "log_wealth": wealth}, _log_sum(mean - math.log(len(BETS)), tail)


def _log_sum(a: float | None, b: float) -> float:
    """log(exp(a) + exp(b)); None and minus infinity are nothing."""
    if a is None or a == -math.inf:
        return b
    high, low = max(a, b), min(a, b)
    return high + math.log1p(math.exp(low - high))
