"""Reduce on plateau: what trainers do without looking back.

As `torch.optim.lr_scheduler.ReduceLROnPlateau`: a score that has not grown for a while lowers the learning rate, the
weights go on as they are, the last ones are handed on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from crestfall.control.base import Controller, State
from crestfall.core.registry import register
from crestfall.core.types import Decision, Record


@register("control", "plateau")
@dataclass(frozen=True)
class Plateau(Controller):
    """Lower the learning rate where `patience` evaluations brought nothing better. Never goes back."""

    name: ClassVar[str]

    patience: Annotated[int, Field(ge=1)] = 2
    """Evaluations without a better score that are borne; one more lowers the rate. (torch's 10 are as many as half of a
    campaign has.)"""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """What the rate is multiplied with. torch's default is 0.1, at longer waits."""

    def init(self) -> State:
        return {"peak": None, "waited": 0}

    def decide(self, state: State, record: Record) -> tuple[State, Decision]:
        if state["peak"] is None or record.value > state["peak"]:
            return {"peak": record.value, "waited": 0}, Decision("continue")
        waited = state["waited"] + 1
        if waited <= self.patience:
            return {**state, "waited": waited}, Decision("continue")
        reason = f"nothing above {state['peak']:.3f} in {waited} evaluations: learning rate x {self.factor:g}"
        return {**state, "waited": 0}, Decision("continue", reason=reason, learning_rate_scale=self.factor)
