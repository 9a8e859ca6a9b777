"""Early stop at the peak: the paper's within-campaign controller (ES), in both readings of its one sentence.

The paper's abstract: "a within-campaign early-stop rule that rolls forward the peak checkpoint and sets the next
budget to peak_step+3". It may mean that a campaign stops 3 steps past its peak (`patience`), or, word for word, that
a campaign runs for its budget and the *next* one gets peak_step + 3 (`budget`). Either way the peak checkpoint is
handed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crestfall.control.base import PeakKeeper, State
from crestfall.core.errors import ConfigError
from crestfall.core.registry import register
from crestfall.core.types import CampaignSummary, Decision, Record


@register("control", "early_stop")
@dataclass(frozen=True)
class EarlyStop(PeakKeeper):
    """Early stopping: keep the step with the best select score, and stop (or roll back) a few evaluations past it.

    Step 0, the policy before any update, is a candidate like any other; of equal scores the earliest is the peak.
    The peak stays the target until a strictly better score appears, also after a rollback.
    """

    name: ClassVar[str]

    margin: Annotated[int, Field(ge=1)] = 3
    """Number of steps past the peak in the next budget (for `reading: budget`). 3 as in the paper, which evaluates
    every step."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Evaluations without a better score before the controller acts (for `reading: patience`), however many steps lie
    between two of them. None: as many as `margin`."""
    reading: Literal["patience", "budget"] = "patience"
    """Interpretation of the paper's rule. `patience`: stop once `patience` evaluations brought nothing better.
    `budget`: never stop inside a campaign; the next budget is peak_step + margin, not capped, so it grows by at most
    `margin` a campaign."""
    then: Literal["stop", "go_on"] = "stop"
    """Once patience runs out: `stop` ends the campaign; `go_on` rolls back to the peak and trains on from there
    until the budget is used, as often as it takes."""
    min_budget: Annotated[int, Field(ge=1)] = 3
    """Smallest budget that `reading: budget` gives. A campaign of 0 steps could never find a better peak. The paper
    does not say."""

    def __post_init__(self) -> None:
        if self.reading == "budget" and self.then == "go_on":
            raise ConfigError("then: go_on needs reading: patience (reading: budget never stops inside a campaign)")

    @property
    def rolls_back(self) -> bool:
        return self.then == "go_on"

    def init(self) -> State:
        return {"peak_step": None, "peak": None, "waited": 0}

    def decide(self, state: State, record: Record) -> tuple[State, Decision]:
        if state["peak"] is None or record.value > state["peak"]:
            state = {"peak_step": record.step, "peak": record.value, "waited": 0}
        else:
            # Evaluations since the last peak, or since the last return to it; a run of 0.1 noted that step instead.
            before = state["waited"] if "waited" in state else record.step - 1 - state["since"]
            state = {**state, "waited": before + 1}
        patience = self.patience or self.margin
        peak_step, waited = state["peak_step"], state["waited"]
        evidence = {"value": record.value, "peak": state["peak"], "peak_step": peak_step, "waited": waited}
        if self.reading == "budget" or waited < patience:
            return state, Decision("continue", evidence=evidence)
        reason = f"nothing above {state['peak']:.3f} (step {peak_step}) in {waited} evaluations"
        if self.then == "stop":
            return state, Decision("stop", peak_step, reason, evidence)
        return {**state, "waited": 0}, Decision("rollback", peak_step, reason, evidence)

    def last(self, state: State, step: int) -> Decision:
        evidence = {"peak": state["peak"], "peak_step": state["peak_step"]}
        return Decision("stop", state["peak_step"], "budget used up: the peak is kept", evidence)

    def budget(self, default: int, history: Sequence[CampaignSummary]) -> int:
        if self.reading == "patience" or not history:
            return default
        return max(self.min_budget, history[-1].peak_step + self.margin)
