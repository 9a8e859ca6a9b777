"""Protocol of a chain controller, which plans the next campaign from those that are done.

Between campaigns as `control` is within one. It sees `CampaignSummary`s (scores on select only) and returns a
`Plan`, which the chain carries out and records with its evidence in a `care` event. Its state is a plain dict that
JSON can hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from crestfall.core.build import plain
from crestfall.core.registry import register
from crestfall.core.types import CampaignSummary

State = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan of the next campaign.

    `budget` is its number of steps (0: it is evaluated, and its first weights are its final weights).
    `learning_rate_scale` multiplies the configured learning rate for this campaign. `roll_back`: it starts from the
    best step (on select) of the campaign before it, and not from the final weights of that one. `verdict` is the
    controller's own word for it (`reuse`, `pilot` ...); an empty one means that there was nothing to decide, and no
    event is written.
    """

    budget: int
    learning_rate_scale: float = 1.0
    roll_back: bool = False
    verdict: str = ""
    reason: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = plain(self)
        return out


@dataclass(frozen=True)
class ChainController:
    """A frozen dataclass with these methods; those that it does not define let every campaign run as configured."""

    name: ClassVar[str]

    def init(self) -> State:
        """The state before the first campaign; asked for once a chain, so it may read a file. Must survive
        `json.loads(json.dumps(state))` unchanged.

        Raises:
            InputError: a file that it should start with cannot be used.
        """
        return {}

    def plan(self, state: State, budget: int, history: Sequence[CampaignSummary]) -> tuple[State, Plan]:
        """The next campaign, given the steps that its own controller asks for and all campaigns so far. Pure."""
        return state, Plan(budget)

    def remember(self, state: State, history: Sequence[CampaignSummary]) -> Mapping[str, Any] | None:
        """Memory that outlives the chain, with campaigns that no plan has seen yet: the run's memory.json. None:
        nothing. Pure."""
        return None


@register("care", "none")
@dataclass(frozen=True)
class NoChainControl(ChainController):
    """Every campaign runs as configured."""

    name: ClassVar[str]
