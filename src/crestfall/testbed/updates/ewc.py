"""Elastic weight consolidation (Kirkpatrick et al. 2017), for any rule: lambda / 2 sum_i F_i (theta_i - theta*_i)^2.

F is the diagonal of the Fisher information of whole completions at the anchor theta*, estimated from sampled scores:
F_i = mean over samples y ~ pi of (d log pi(y) / d theta_i)^2. The samples are the policy's own, so it is the Fisher and
not the "empirical" one of given labels. Where weights moved little, KL(anchor || policy) of a completion is half the
quadratic form of the full Fisher matrix, so that lambda has the unit of a KL coefficient. The diagonal alone sees a
small part of it when weights move together, as under Adam: lambda has to be far larger for a pull of the same size.

Degenerate case: at the anchor the penalty and its gradient are 0; a policy that is certain has F = 0 and may go
anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crestfall.core.registry import register

Count = Annotated[int, Field(ge=1)]


@register("ewc", "none")
@dataclass(frozen=True, kw_only=True)
class NoEWC:
    """No penalty."""

    name: ClassVar[str]


@register("ewc", "fisher")
@dataclass(frozen=True, kw_only=True)
class FisherEWC(NoEWC):
    """Fisher-weighted distance to the anchor, added to the gradient before it is clipped."""

    name: ClassVar[str]

    strength: Annotated[float, Field(ge=0)] = 100.0
    """lambda. At 100 the penalty came to the size of a KL penalty of 0.05 in a dozen steps of the tiny policy; it is
    not tuned. The paper's "EWC" has none: see `kl: {name: paper_ewc}`."""
    anchor: Literal["start", "base"] = "start"
    """Where weights are held: where the campaign started, or the policy before any training."""
    problems: Count = 16
    """Train problems that F is estimated on: the campaign's own, or the first campaign's for the base."""
    samples: Count = 4
    """Completions of each. Every distinct one costs a backward pass, once a campaign, and once more after a resume: F
    is a function of anchor and seed and is not saved."""
