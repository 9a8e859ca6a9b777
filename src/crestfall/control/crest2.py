"""Crest 2: keep an incumbent, and let every step fight it on the same problems with the same random numbers.

A score compared with the best one so far is compared with luck: the best of many noisy evaluations was lucky, and what
follows looks worse. Here the incumbent is evaluated again at every step, beside the policy of now; a difference that
both share is no difference. What bets on the paired samples win (`control.betting`) is evidence at any time.

It is meant to stand around a pace (`update.pace`), which keeps steps short and cannot see where they lead: a reward
that can be hacked, a grader that errs, a batch that says too little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from crestfall.control.base import Controller, State
from crestfall.control.betting import Bets
from crestfall.core.registry import register
from crestfall.core.types import Decision, Duel, Record

_BETS = Bets()


@register("control", "crest2")
@dataclass(frozen=True)
class Crest2(Controller):
    """Compare the policy with the best so far, the incumbent, on the same problems after every step. If it is
    significantly worse, go back to the incumbent, with a quarter of the learning rate and a fresh optimizer; if it is
    significantly better, it becomes the incumbent. Keep the better of the two.

    Costs a second evaluation on select at every step.
    """

    name: ClassVar[str]
    duels: ClassVar[bool] = True

    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Largest probability of ever going back in a campaign in which no step is worse than its incumbent. Every return
    spends half of what is left."""
    alpha_better: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Largest probability, per incumbent, that a policy which is not better becomes the incumbent. Such a mistake does
    no harm by itself: the next policies are compared with the new incumbent as it is."""
    slow_down: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Multiplier of the learning rate at every return."""
    speed_up: Annotated[float, Field(ge=1)] = 1.5
    """Multiplier of the learning rate at every second new incumbent in a row."""
    fastest: Annotated[float, Field(ge=1)] = 1.0
    """Largest product of all these factors. With 1 only a rate that was reduced is raised again."""

    @property
    def rolls_back(self) -> bool:
        return True

    def init(self) -> State:
        return {
            "incumbent": None,
            "returns": 0,
            "in_a_row": 0,
            "scale": 1.0,
            "lead": 0,  # wins less losses against this incumbent
            "fall": dict(_BETS.init()),
            "rise": dict(_BETS.init()),
        }

    def rival(self, state: State) -> int | None:
        incumbent: int | None = state["incumbent"]
        return incumbent

    def keep(self, state: State) -> frozenset[int]:
        return frozenset() if state["incumbent"] is None else frozenset({state["incumbent"]})

    def decide(self, state: State, record: Record) -> tuple[State, Decision]:
        if state["incumbent"] is None:
            return {**state, "incumbent": record.step}, Decision("continue")
        if record.duel is None:
            return state, Decision("continue")
        fall, log_fall = _BETS.update(state["fall"], against=record.duel.wins, in_favour=record.duel.losses)
        rise, log_rise = _BETS.update(state["rise"], against=record.duel.losses, in_favour=record.duel.wins)
        lead = state["lead"] + record.duel.wins - record.duel.losses
        state = {**state, "fall": dict(fall), "rise": dict(rise), "lead": lead}
        spent = self.alpha / 2 ** (state["returns"] + 1)
        evidence = _evidence(record.duel, log_fall, log_rise, spent)
        if log_fall >= -math.log(spent):
            return self._back(state, record, evidence)
        if log_rise >= -math.log(self.alpha_better):
            return self._crowned(state, record, evidence)
        return state, Decision("continue", evidence=evidence)

    def last(self, state: State, step: int) -> Decision:
        ahead = state["incumbent"] is None or state["lead"] >= 0
        kept = step if ahead else state["incumbent"]
        return Decision("stop", kept, f"budget used up: step {kept}, the better one, is kept")

    def _back(self, state: State, record: Record, evidence: dict[str, float]) -> tuple[State, Decision]:
        incumbent = state["incumbent"]
        reason = f"worse than step {incumbent}: e-value {evidence['e_fall']:.3g}"
        decision = Decision("rollback", incumbent, reason, evidence, self.slow_down, forget_optimizer=True)
        fresh = {"fall": dict(_BETS.init()), "rise": dict(_BETS.init()), "in_a_row": 0}
        fresh |= {"lead": -1}  # a tie is the incumbent's, and so is a campaign that ends here
        scale = state["scale"] * self.slow_down
        return {**state, **fresh, "returns": state["returns"] + 1, "scale": scale}, decision

    def _crowned(self, state: State, record: Record, evidence: dict[str, float]) -> tuple[State, Decision]:
        in_a_row = state["in_a_row"] + 1
        factor = min(self.speed_up, self.fastest / state["scale"]) if in_a_row % 2 == 0 else 1.0
        factor = max(1.0, factor)
        state = {**state, "incumbent": record.step, "rise": dict(_BETS.init()), "lead": 0}
        state |= {"in_a_row": in_a_row, "scale": state["scale"] * factor}
        return state, Decision("continue", evidence=evidence, learning_rate_scale=factor)


def _evidence(duel: Duel, log_fall: float, log_rise: float, spent: float) -> dict[str, Any]:
    return {
        "rival": duel.rival_step,
        "wins": duel.wins,
        "losses": duel.losses,
        "e_fall": math.exp(min(log_fall, 700.0)),
        "e_rise": math.exp(min(log_rise, 700.0)),
        "e_needed": 1 / spent,
    }
