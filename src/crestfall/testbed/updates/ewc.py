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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from crestfall.core.registry import register
from crestfall.testbed.updates.kl import Reference

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

    from crestfall.testbed.policies.base import LoadedPolicy, Samples

    Weights = Mapping[str, Tensor]

Count = Annotated[int, Field(ge=1)]


@register("ewc", "none")
@dataclass(frozen=True, kw_only=True)
class WeightPenalty:
    """No penalty. One of your own says where weights are held and adds its gradient."""

    name: ClassVar[str]

    def held_at(self) -> Reference | None:
        """The anchor: the policy before any training, or the weights that the campaign started from."""
        return None

    def drawn(self) -> tuple[int, int]:
        """Problems, and samples of each, that `importance` needs."""
        return 0, 0

    def importance(self, policy: LoadedPolicy, batches: Iterable[Samples], temperature: float) -> Weights:
        """Importance of each weight at the anchor; `batches` are the anchor's own samples, one problem each."""
        return {}

    def pull(self, parameters: Mapping[str, Parameter], anchor: Weights, importance: Weights) -> float:
        """Add the penalty's gradient to the parameters' gradients. Returns the penalty."""
        raise TypeError(f"{type(self).__name__} has an anchor and defines no pull")


@register("ewc", "fisher")
@dataclass(frozen=True, kw_only=True)
class FisherEWC(WeightPenalty):
    """Fisher-weighted distance to the anchor, added to the gradient before it is clipped."""

    name: ClassVar[str]

    strength: Annotated[float, Field(ge=0)] = 100.0
    """Strength of the penalty (lambda). At 100 it reaches the size of a KL penalty of 0.05 within a dozen steps of the
    tiny policy; the value is not tuned. The paper's "EWC" is another penalty: `kl: {name: paper_ewc}`."""
    anchor: Reference = "start"
    """Point that the weights are pulled to: the campaign's `start`, or the `base` policy."""
    problems: Count = 16
    """Number of training problems on which the Fisher information is estimated: the campaign's own, or the first
    campaign's for `base`."""
    samples: Count = 4
    """Completions per problem for the estimate. Each distinct one costs a backward pass, once per campaign and once
    more after a resume, because the estimate is recomputed from anchor and seed and is not saved."""

    def held_at(self) -> Reference | None:
        return self.anchor

    def drawn(self) -> tuple[int, int]:
        return self.problems, self.samples

    def importance(self, policy: LoadedPolicy, batches: Iterable[Samples], temperature: float) -> Weights:
        from crestfall.testbed.updates.fisher import diagonal_fisher

        return diagonal_fisher(policy, batches, temperature)

    def pull(self, parameters: Mapping[str, Parameter], anchor: Weights, importance: Weights) -> float:
        from crestfall.testbed.updates.fisher import pull

        return pull(parameters, anchor, importance, self.strength)
