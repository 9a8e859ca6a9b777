"""Crestfall's own controller: back to the crest, and on from there with smaller steps.

A policy that falls from its peak takes steps that are too large for the information in a batch (docs/regimes.md). The
same steps from the same peak lead to the same fall. A stop keeps the peak and leaves the rest of the budget unused.
This controller uses it: each fall that noise cannot explain halves the learning rate, for good.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from pydantic import Field

from crestfall.control.alert import SignificantFall
from crestfall.control.base import PeakKeeper, State
from crestfall.core.registry import register
from crestfall.core.types import Decision, Record


@register("control", "crest")
@dataclass(frozen=True)
class Crest(PeakKeeper):
    """On a fall that the evaluation's own noise does not explain, roll back to the best step and train on from there
    with a smaller learning rate. Keep the best step.

    The test is that of `significant_fall` with `then: go_on`. A rate that was too high once stays reduced, in the
    campaigns that follow too.
    """

    name: ClassVar[str]
    needs_noise: ClassVar[bool] = True

    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Largest probability of acting in a campaign whose true score never falls. Every rollback spends half of what is
    left."""
    horizon: Annotated[int, Field(ge=1)] = 50
    """Approximate number of evaluations in a run. The test has most power around it; the false-alarm rate holds for any
    number."""
    slow_down: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Multiplier of the learning rate at every rollback."""

    @property
    def rolls_back(self) -> bool:
        return True

    def init(self) -> State:
        return self._test.init()

    def decide(self, state: State, record: Record) -> tuple[State, Decision]:
        state, decision = self._test.decide(state, record)
        if decision.action == "rollback":
            reason = f"{decision.reason}; learning rate x {self.slow_down:g}"
            decision = replace(decision, reason=reason, learning_rate_scale=self.slow_down)
        return state, decision

    @property
    def _test(self) -> SignificantFall:
        return SignificantFall(self.alpha, self.horizon, then="go_on")
