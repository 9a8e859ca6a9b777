"""The clipped objective of PPO (Schulman et al. 2017): min(ratio A, clip(ratio, 1 - low, 1 + high) A).

The ratio is pi / pi_old of a token, pi_old being the policy before the step's first update. With one update a batch it
is 1 everywhere: nothing is ever clipped and the gradient is that of A log pi.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from crestfall.testbed.updates.base import UpdateRule

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Clipped(UpdateRule):
    """A rule that maximises the clipped ratio times the advantage."""

    clip_low: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Lower clip bound: a probability ratio below 1 - `clip_low` is not pushed further down."""
    clip_high: Annotated[float, Field(ge=0)] = 0.2
    """Upper clip bound: a probability ratio above 1 + `clip_high` is not pushed further up."""

    @property
    def needs_old_logprobs(self) -> bool:
        return self.minibatches * self.epochs > 1

    def objective(self, logprobs_RT: Tensor, old_RT: Tensor | None, advantages_R: Tensor) -> Tensor:
        # Without old log-probs the policy is still the old one.
        ratio_RT = (logprobs_RT - (logprobs_RT.detach() if old_RT is None else old_RT)).exp()
        bounded_RT = ratio_RT.clamp(1 - self.clip_low, 1 + self.clip_high)
        return (ratio_RT * advantages_R[:, None]).minimum(bounded_RT * advantages_R[:, None])

    def clipped(self, ratio_RT: Tensor, advantages_R: Tensor) -> Tensor:
        up_R1 = advantages_R[:, None] > 0
        down_R1 = advantages_R[:, None] < 0
        return (up_R1 & (ratio_RT > 1 + self.clip_high)) | (down_R1 & (ratio_RT < 1 - self.clip_low))
