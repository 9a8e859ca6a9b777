"""What rank 0 decided at an observation, as it is sent to the others and carried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crestfall.core.types import Decision


@dataclass(frozen=True)
class Kept:
    """A step whose snapshot is kept. `path`: its directory; None: it is in memory only."""

    step: int
    value: float
    path: Path | None


@dataclass(frozen=True)
class Outcome:
    """Outcome that rank 0 broadcasts. Snapshots go by the `id` of their observation, which unlike a step is never seen
    twice.

    `target`: the snapshot to put back, None where the weights are right as they are. `mean_of`: those whose weights'
    mean then takes the place of the weights. `rate_factor`: what to multiply the learning rate with that is in force
    then. `snapshot`: the one to take now. `wanted`: those to keep from now on. `current`: the present observation.
    """

    decision: Decision
    target: int | None = None
    rate_factor: float = 1.0
    snapshot: int | None = None
    wanted: frozenset[int] = frozenset()
    place: str = ""
    """Name of the directory of the snapshot to take."""
    mean_of: tuple[int, ...] = ()
    current: int = -1

    def to_json(self) -> dict[str, Any]:
        plain = {"decision": self.decision.to_json(), "wanted": sorted(self.wanted), "mean_of": list(self.mean_of)}
        return vars(self) | plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        fields = {name: data[name] for name in ("target", "rate_factor", "snapshot", "place", "current")}
        decision, mean = Decision.from_json(data["decision"]), tuple(data["mean_of"])
        return cls(decision, wanted=frozenset(data["wanted"]), mean_of=mean, **fields)

    def again(self, rates_stay: bool) -> Outcome:
        """What is left of it once it has been carried out: it may be put back again, no rate is multiplied twice."""
        target = None if self.mean_of else self.target
        factor = 1.0 if target is None or rates_stay else self.rate_factor
        return replace(self, target=target, mean_of=(), rate_factor=factor)
