"""KL penalties, for any rule: beta times KL(policy || reference), estimated on the step's own samples.

With d = log pi - log ref of a sampled token the estimators of its KL are (Schulman 2020, "Approximating KL divergence")

    k1 = d            unbiased, of either sign
    k2 = d^2 / 2      biased, not negative
    k3 = e^-d - 1 + d unbiased, not negative

They estimate the same number, but their gradients are three different things, on samples y of the policy itself:

    estimator    what is descended (per token t)          its expectation, for one token
    k1           (sum_{u >= t} d_u, held fixed) log pi_t  grad KL(pi || ref), and for a sequence too: in the reward
    k2           d_t^2 / 2                                grad KL(pi || ref), token by token: in the loss
    k3           e^-d_t - 1 + d_t                         grad KL(ref || pi), token by token: in the loss

k1 differentiated as a loss would have the score itself as its gradient, whose expectation is 0: no penalty at all. So
it goes where RLHF has it (Ziegler et al. 2019), in the reward: every token pays for the log-ratios from there on. k2
and k3 leave out what a token does to the KL of later ones. A penalty is weighted by the rule's own normaliser: a mean
over sequences of their summed KL with `sequence_sum`, a mean per token with `sequence_mean` and `token_mean`.

Degenerate cases: at the reference itself all three gradients are 0; on samples of another policy than the current one
(minibatches, epochs) they are biased, as in the libraries that do the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from crestfall.core.registry import register

if TYPE_CHECKING:
    from torch import Tensor

State = Mapping[str, float]
"""State of a penalty between steps; part of every snapshot."""

Estimator = Literal["k1", "k2", "k3"]
Reference = Literal["base", "start"]
"""The policy before any training, or the weights that the campaign started from."""
Positive = Annotated[float, Field(gt=0)]


@register("kl", "none")
@dataclass(frozen=True, kw_only=True)
class KLPenalty:
    """No penalty. A penalty of one's own says what it compares with and what each token adds to the loss."""

    name: ClassVar[str]

    def compared_with(self) -> Reference | None:
        """Whose log-probs `terms` needs: the base policy's, or those of the weights that the campaign started from."""
        return None

    def init(self) -> State:
        """Must survive `json.loads(json.dumps(state))` unchanged."""
        return {}

    def coefficient_of(self, state: State) -> float:
        """Coefficient of the next step's penalty."""
        return 0.0

    def terms(self, logprobs_RT: Tensor, reference_RT: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """Contribution of each token to the loss, and the penalty that this stands for (without gradient). Log-probs
        are 0 beyond a completion's end. Called only where `compared_with` names a reference."""
        raise TypeError(f"{type(self).__name__} compares with a reference and defines no terms")

    def observe(self, state: State, kl: float) -> State:
        """The state after a step whose samples were `kl` nats a token away from the reference."""
        return state


@register("kl", "fixed")
@dataclass(frozen=True, kw_only=True)
class FixedKL(KLPenalty):
    """The same coefficient throughout."""

    name: ClassVar[str]

    coefficient: Annotated[float, Field(ge=0)] = 0.05
    """Penalty per nat of KL, in units of reward. The paper gives 0.05 for its strong arm and no value for the
    others."""
    estimator: Estimator = "k3"
    """Estimator of the KL, which also decides which divergence is reduced (docs/updates.md has the table). `k3` in the
    loss is what GRPO's libraries use; the paper does not say."""
    reference: Reference = "base"
    """Reference policy: `base` is the policy before any training (the usual choice), `start` is the policy at the
    campaign's start. The paper can be read both ways."""

    def compared_with(self) -> Reference | None:
        return self.reference

    def init(self) -> State:
        return {"coefficient": self.coefficient}

    def coefficient_of(self, state: State) -> float:
        return state["coefficient"]

    def terms(self, logprobs_RT: Tensor, reference_RT: Tensor, state: State) -> tuple[Tensor, Tensor]:
        term_RT, value_RT = penalty(self.estimator, logprobs_RT, reference_RT)
        return state["coefficient"] * term_RT, state["coefficient"] * value_RT


@register("kl", "adaptive")
@dataclass(frozen=True, kw_only=True)
class AdaptiveKL(FixedKL):
    """A coefficient that steers the KL to a target. After every step beta <- beta (1 + gain clip((KL - target) /
    target, -c, c)) (Ziegler et al. 2019, section 2.2). `coefficient` is where it starts.

    Degenerate case: with gain 0.1 and c 0.2 it moves by 2% a step at most, a factor of 1.5 in 20 steps.
    """

    name: ClassVar[str]

    target: Positive = 0.02
    """Target KL in nats per token. The paper gives no value; Ziegler's 6 nats per sequence are about this size for some
    300 tokens."""
    gain: Annotated[float, Field(ge=0)] = 0.1
    """Speed at which beta follows the error, as in Ziegler et al."""
    clip: Positive = 0.2
    """Bound on the relative error that beta reacts to, as in Ziegler et al."""

    def observe(self, state: State, kl: float) -> State:
        error = min(max((kl - self.target) / self.target, -self.clip), self.clip)
        return {"coefficient": state["coefficient"] * (1 + self.gain * error)}


@register("kl", "paper_ewc")
@dataclass(frozen=True, kw_only=True)
class PaperEWC(FixedKL):
    """The penalty that the paper calls EWC: a strong KL penalty (0.05) to the weights that each campaign starts from.
    It has no Fisher information in it; `ewc: {name: fisher}` has.
    """

    name: ClassVar[str]

    reference: Reference = "start"
    """Reference policy. The default is the campaign's start: the paper says that the penalty "anchors the model to each
    campaign's degraded end-state"."""


def estimate(estimator: Estimator, difference_RT: Tensor) -> Tensor:
    """The KL of each token from d = log pi - log ref."""
    match estimator:
        case "k1":
            return difference_RT
        case "k2":
            return difference_RT.square() / 2
        case "k3":
            return (-difference_RT).exp() - 1 + difference_RT


def penalty(estimator: Estimator, logprobs_RT: Tensor, reference_RT: Tensor) -> tuple[Tensor, Tensor]:
    """Contribution of each token to the loss per unit of beta, and its estimate of the KL (without gradient).

    Log-probs are 0 beyond a completion's end.
    """
    difference_RT = logprobs_RT - reference_RT
    value_RT = estimate(estimator, difference_RT)
    if estimator == "k1":
        to_go_RT = difference_RT.detach().flip(1).cumsum(1).flip(1)
        return to_go_RT * logprobs_RT, value_RT.detach()
    return value_RT, value_RT.detach()
