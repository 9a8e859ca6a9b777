"""A controller that goes back to step 1 after step 2, and hands on step 1: registered by a test's configuration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from crestfall.control.base import State
from crestfall.core.registry import register
from crestfall.core.types import CampaignSummary, Decision, Record


@register("control", "back_to_1_at_2")
@dataclass(frozen=True)
class BackTo1At2:
    """Not a rule, a script."""

    name: ClassVar[str]

    def init(self) -> State:
        return {}

    def decide(self, state: State, record: Record) -> tuple[State, Decision]:
        return state, Decision("rollback", 1, "as told") if record.step == 2 else Decision("continue")

    def keep(self, state: State) -> frozenset[int]:
        return frozenset({1})

    def last(self, state: State, step: int) -> Decision:
        return Decision("stop", 1, "as told")

    def budget(self, default: int, history: Sequence[CampaignSummary]) -> int:
        return default
