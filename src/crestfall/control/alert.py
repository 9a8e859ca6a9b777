"""Controllers that act on a fall only where evaluation noise cannot explain it: tell somebody, stop, or go back.

Both look with the sequential test of `fall_test`, whose false-alarm rate holds for the whole run and not for one look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from crestfall.control.base import Controller, PeakKeeper, State
from crestfall.control.fall_test import Fall, FallTest
from crestfall.core.registry import register
from crestfall.core.types import Decision, Record


@register("control", "alert")
@dataclass(frozen=True)
class Alert(Controller):
    """Report once when the score has fallen, and never act. The last step is kept, as without a controller."""

    name: ClassVar[str]
    needs_noise: ClassVar[bool] = True

    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Largest probability of a false alarm in a whole run."""
    horizon: Annotated[int, Field(ge=1)] = 50
    """Approximate number of evaluations in a run. The test has most power around it; the false-alarm rate holds for any
    number."""

    def init(self) -> State:
        return {"test": self._test.init(), "alarmed": False}

    def decide(self, state: State, record: Record) -> tuple[State, Decision]:
        test, fall = self._test.update(state["test"], record)
        news = fall.alarm and not state["alarmed"]
        reason = f"alert: {_said(fall, self.alpha)}" if news else ""
        return {"test": test, "alarmed": fall.alarm}, Decision("continue", None, reason, fall.evidence())

    @property
    def _test(self) -> FallTest:
        return FallTest(self.alpha, self.horizon)


@register("control", "significant_fall")
@dataclass(frozen=True)
class SignificantFall(PeakKeeper):
    """Stop (or roll back) once the score has fallen by more than the evaluation's own noise explains; keep the best
    step.

    Patience rules stop on any few evaluations without a new maximum, which on a noisy plateau happens at once. This one
    waits for evidence: a collapse is seen within an evaluation or two, a plateau is left alone.
    """

    name: ClassVar[str]
    needs_noise: ClassVar[bool] = True

    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Largest probability of acting in a run whose true score never falls. With `go_on`, every further rollback spends
    half of what is left."""
    horizon: Annotated[int, Field(ge=1)] = 50
    """Approximate number of evaluations in a run. The test has most power around it; the false-alarm rate holds for any
    number."""
    then: Literal["stop", "go_on"] = "stop"
    """On a fall: `stop` ends the campaign; `go_on` rolls back to the best step and trains on from there."""

    @property
    def rolls_back(self) -> bool:
        return self.then == "go_on"

    def init(self) -> State:
        return {"test": FallTest().init(), "peak": None, "peak_step": None, "test_at_peak": None, "rollbacks": 0}

    def decide(self, state: State, record: Record) -> tuple[State, Decision]:
        alpha = self.alpha if self.then == "stop" else self.alpha / 2 ** (state["rollbacks"] + 1)
        test, fall = FallTest(alpha, self.horizon).update(state["test"], record)
        new: dict[str, Any] = {**state, "test": test}
        if state["peak"] is None or record.value > state["peak"]:
            new |= {"peak": record.value, "peak_step": record.step, "test_at_peak": test}
        peak, peak_step = new["peak"], new["peak_step"]
        evidence: Mapping[str, float] = {"peak": peak, "peak_step": peak_step, **fall.evidence()}
        if not fall.alarm:
            return new, Decision("continue", None, "", evidence)
        reason = _said(fall, alpha)
        if self.then == "stop":
            return new, Decision("stop", peak_step, reason, evidence)
        # What follows continues the curve up to the best step; what came after that has been undone.
        new |= {"test": new["test_at_peak"], "rollbacks": state["rollbacks"] + 1}
        return new, Decision("rollback", peak_step, reason, evidence)


def _said(fall: Fall, alpha: float) -> str:
    about = "" if fall.noise_known else ", noise estimated"
    return (
        f"down by {fall.drop:.3f} +- {fall.standard_error:.3f} since step {fall.change_step} "
        f"(anytime p = {fall.p_value:.2g}, false alarms <= {alpha:g} a run{about})"
    )
