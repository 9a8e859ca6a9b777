"""Protocol of a controller.

A controller decides, the campaign carries out. It sees one `Record` per step, in order, starting with step 0 (before
any update), and returns a `Decision`; it never touches weights. Its state is a plain dict that JSON can hold, so
that a run resumes, and so that the same controller runs live, in the guard, in a trainer's callback and in offline
replay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from crestfall.core.errors import ConfigError
from crestfall.core.types import CampaignSummary, Decision, Record

State = Mapping[str, Any]


@dataclass(frozen=True)
class Controller:
    """A frozen dataclass with these methods; those that a controller does not define do nothing. Contract tests run
    over every registered one."""

    name: ClassVar[str]
    needs_noise: ClassVar[bool] = False
    """Whether the controller needs the evaluation's noise. If scores come without `n`, a guard warns what it misses."""

    duels: ClassVar[bool] = False
    """Whether the controller decides by `Record.duel`. Only a campaign, which holds earlier weights, can run it."""

    @property
    def rolls_back(self) -> bool:
        """Whether the controller may roll back. If so, a guard rolls back from NaN weights instead of stopping."""
        return False

    def init(self) -> State:
        """The state before step 0 of a campaign. Must survive `json.loads(json.dumps(state))` unchanged."""
        return {}

    def decide(self, state: State, record: Record) -> tuple[State, Decision]:
        """Take in one record, return the new state and the decision. Pure: the same inputs give the same outputs."""
        return state, Decision("continue")

    def keep(self, state: State) -> frozenset[int]:
        """The steps that a later decision may still name as its target: their snapshots must not be deleted."""
        return frozenset()

    def rival(self, state: State) -> int | None:
        """The kept step whose weights are to be evaluated beside those of the next step, on the same problems with the
        same random numbers (`Record.duel`); None: no such comparison. Costs a second evaluation on select."""
        return None

    def last(self, state: State, step: int) -> Decision:
        """The decision when the budget is used up at `step`: always a `stop`, saying which step is kept."""
        return Decision("stop", step, "budget used up")

    def budget(self, default: int, history: Sequence[CampaignSummary]) -> int:
        """Number of steps that the next campaign may take, given those before it."""
        return default


@dataclass(frozen=True)
class PeakKeeper(Controller):
    """A controller whose target is the best step so far, which its state holds as `peak_step` (None before one)."""

    name: ClassVar[str]

    def keep(self, state: State) -> frozenset[int]:
        return frozenset() if state["peak_step"] is None else frozenset({state["peak_step"]})

    def last(self, state: State, step: int) -> Decision:
        target = step if state["peak_step"] is None else state["peak_step"]
        return Decision("stop", target, "budget used up: the best step is kept")


def check_without_duels(controller: Any) -> None:
    """Raise ConfigError for a controller that needs earlier weights to evaluate again, where only scores exist."""
    if getattr(controller, "duels", False):
        raise ConfigError(
            f"control {controller.name!r} evaluates earlier weights again beside those of now, which only `crestfall "
            "run` and `study` do; 'crest' decides by scores"
        )
