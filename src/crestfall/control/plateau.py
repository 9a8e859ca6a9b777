"""Reduce on plateau: what trainers do without looking back.

As `torch.optim.lr_scheduler.ReduceLROnPlateau`: a score that has not grown for a while lowers the learning rate, the
weights stay as they are, and the last ones are kept.
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
    """Lower the learning rate after `patience` evaluations without a better score. It never rolls back."""

    name: ClassVar[str]

    patience: Annotated[int, Field(ge=1)] = 2
    """Evaluations without a better score before the rate is lowered at the next one. torch's default of 10 is half of a
    campaign here."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Multiplier of the learning rate. torch's default is 0.1, with longer waits."""

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
