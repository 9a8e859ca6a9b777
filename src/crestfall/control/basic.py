"""Controllers without feedback: the arms that every other controller has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from crestfall.control.base import Controller, State
from crestfall.core.registry import register
from crestfall.core.types import CampaignSummary, Decision, Record


@register("control", "none")
@dataclass(frozen=True)
class NoControl(Controller):
    """Use the whole budget and keep the last step: an unattended run."""

    name: ClassVar[str]


@register("control", "fixed")
@dataclass(frozen=True)
class FixedStop(Controller):
    """Stop every campaign at the same step, whatever the scores are, and keep that step.

    With the step chosen on other seeds this is the strongest arm that costs nothing; step 0 is the policy left
    untouched.
    """

    name: ClassVar[str]

    step: Annotated[int, Field(ge=0)] = 5
    """Step to stop at. 5 is what the paper's early stop took on average (51 steps in 10 campaigns)."""

    def decide(self, state: State, record: Record) -> tuple[State, Decision]:
        if record.step < self.step:
            return state, Decision("continue")
        return state, Decision("stop", record.step, f"fixed stop at step {self.step}")

    def budget(self, default: int, history: Sequence[CampaignSummary]) -> int:
        return min(default, self.step)
