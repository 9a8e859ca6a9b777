"""Fork and race: several learning rates from the same weights, a few steps each; the best one goes on.

Which rate is right is asked of the policy itself, again and again, where a step meter sets it by what a step does to
the weights. All that the other rates have sampled is spent: `steps` times the number of rates, each time.

Population based training (Jaderberg et al. 2017) does this with as many workers as rates, at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from crestfall.control.base import Controller, State
from crestfall.core.registry import register
from crestfall.core.types import Decision, Record

Rate = Annotated[float, Field(gt=0, le=1000)]


@register("control", "race")
@dataclass(frozen=True)
class Race(Controller):
    """From the best weights so far train a few steps at each of several learning rates, go on for a while from where
    the best of them led, and race again.

    Whoever ends a leg is compared with the best so far on the same problems with the same random numbers, and
    replaces it where more samples pass. Costs a second evaluation on select at the end of every leg.
    """

    name: ClassVar[str]
    duels: ClassVar[bool] = True

    rates: Annotated[tuple[Rate, ...], Field(min_length=2, max_length=100)] = (1.0, 0.25, 4.0)
    """Multipliers of the learning rate that race, in this order. Where none leads to anything better, training goes on
    with the smallest."""
    steps: Annotated[int, Field(ge=1)] = 3
    """Number of steps at each rate."""
    between: Annotated[int, Field(ge=1)] = 6
    """Number of steps at the winner's rate between two races."""

    @property
    def rolls_back(self) -> bool:
        return True

    def init(self) -> State:
        """`leg`: index of the rate that races; their number while the winner goes on alone. `taken`: its steps so far.
        Rates are multipliers of the configured one: of now (`rate`), and those that led to start and best."""
        return {"leg": 0, "taken": 0, "start": None, "best": None, "rate": 1.0, "start_rate": 1.0, "best_rate": 1.0}

    def rival(self, state: State) -> int | None:
        best: int | None = state["best"]
        return best if state["taken"] + 1 == self._length(state["leg"]) else None

    def keep(self, state: State) -> frozenset[int]:
        return frozenset(step for step in (state["start"], state["best"]) if step is not None)

    def decide(self, state: State, record: Record) -> tuple[State, Decision]:
        if state["start"] is None:
            return self._race({**state, "best": record.step}, record.step)
        state = {**state, "taken": state["taken"] + 1}
        if state["taken"] < self._length(state["leg"]):
            return state, Decision("continue")
        state = self._compared(state, record)
        leg = state["leg"] + 1
        if leg > len(self.rates):
            return self._race(state, record.step)
        if leg == len(self.rates):
            rate = state["best_rate"] if state["best"] != state["start"] else state["start_rate"] * min(self.rates)
            state = {**state, "best_rate": rate}
            return self._from({**state, "leg": leg}, state["best"], rate, record.step)
        return self._from({**state, "leg": leg}, state["start"], state["start_rate"] * self.rates[leg], record.step)

    def last(self, state: State, step: int) -> Decision:
        best = step if state["best"] is None else state["best"]
        return Decision("stop", best, f"budget used up: step {best} won every comparison")

    def _length(self, leg: int) -> int:
        return self.steps if leg < len(self.rates) else self.between

    def _compared(self, state: State, record: Record) -> State:
        if record.duel is None or record.duel.wins <= record.duel.losses:
            return state
        return {**state, "best": record.step, "best_rate": state["rate"]}

    def _race(self, state: State, step: int) -> tuple[State, Decision]:
        """A new race, from the best so far."""
        state = {**state, "leg": 0, "start": state["best"], "start_rate": state["best_rate"]}
        return self._from(state, state["start"], state["start_rate"] * self.rates[0], step)

    def _from(self, state: State, target: int, rate: float, step: int) -> tuple[State, Decision]:
        """Train on from that step at that rate."""
        scale, state = rate / state["rate"], {**state, "taken": 0, "rate": rate}
        if target == step:
            return state, Decision("continue", learning_rate_scale=scale)
        reason = f"the next leg starts there, at {rate:g} times the configured learning rate"
        return state, Decision("rollback", target, reason, learning_rate_scale=scale)
