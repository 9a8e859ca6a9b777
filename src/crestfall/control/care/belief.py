"""Regression-aware belief revision: a campaign that did worse than the memory foresaw makes the gate stricter.

The paper: the gate is tightened if the Mahalanobis distance between observed and predicted capability delta exceeds a
threshold. Threshold and amount are in no source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from crestfall.control.care.memory import Forecast


@dataclass(frozen=True, slots=True)
class Surprise:
    """Distance of a campaign from its forecast: D^2 = sum (observed - predicted)^2 / variance over `members` members,
    chi-square distributed if the forecast holds."""

    distance2: float
    members: int
    p_value: float
    downward: bool
    """pass@1 fell short of its forecast. Not any member: diversity *rises* where a policy collapses, as the few
    programs that still pass are all different."""


def surprise(forecast: Forecast, observed: Mapping[str, float]) -> Surprise:
    """The surprise of an observed capability delta, over the members that were measured. Without members: no
    surprise."""
    from scipy.special import chdtrc

    gap = {member: value - forecast.mean[member] for member, value in observed.items()}
    distance2 = sum(d**2 / forecast.variance[member] for member, d in gap.items())
    p_value = float(chdtrc(len(gap), distance2)) if gap else 1.0
    return Surprise(distance2, len(gap), p_value, gap.get("pass_at_1", 0.0) < 0)


@dataclass(frozen=True)
class Belief:
    """When a belief is revised, and by how much the gate is tightened."""

    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """A deviation beyond this quantile of the chi-square distribution, and downward, is a surprise. 0.95 is 7.81 for
    three members and 9.49 for four. A surprise halves the confidence of what was known and doubles its variance."""
    tighten: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Amount that a surprise adds to the gate's threshold."""

    def revises(self, found: Surprise) -> bool:
        return found.downward and found.p_value < 1 - self.level

    def tightened(self, found: Surprise) -> float:
        """Amount by which a deviation from the forecast tightens the gate."""
        return self.tighten if self.revises(found) else 0.0
