"""Protocol of an update rule, and the options that all rules share.

A rule turns the rewards of a batch into advantages and says what each token contributes to the objective. The engine
does the rest: sampling, gradients, Adam. Options that the paper leaves open, and that decide whether there is a cliff,
are fields here, and so are the penalties: any of them goes with any rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crestfall.control.pace import Pace
from crestfall.core.build import Kind, default
from crestfall.testbed.updates.ewc import WeightPenalty
from crestfall.testbed.updates.kl import KLPenalty

if TYPE_CHECKING:
    from torch import Tensor

Rewards = NDArray[np.float64]
"""[P, G], as the rule scales them."""

State = Mapping[str, float]
"""State of a rule between steps; part of every snapshot."""

Normalization = Literal["sequence_sum", "sequence_mean", "token_mean", "constant"]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Advantages:
    values_PG: Rewards
    baseline_PG: Rewards
    """Baseline subtracted from the reward, kept to measure the drift that it adds."""
    state: State


@dataclass(frozen=True, kw_only=True)
class UpdateRule:
    """The options of every rule. `advantages` and `objective` are what a rule defines."""

    name: ClassVar[str]

    learning_rate: Positive = 5e-4
    """Peak learning rate of AdamW (after warm-up, before decay). The default suits the tiny policy; the paper uses 1e-6
    for 3-7B models."""
    rate_factor: Positive = 1.0
    """Multiplier of `learning_rate`. It lets one method of a study use a quarter of the rate in every regime, whatever
    that rate is."""
    schedule: Literal["constant", "linear"] = "constant"
    """Learning-rate schedule within a campaign: constant, or linear decay from the full rate at the first step to
    1/steps of it at the last of the configured steps. It follows the step counter, so a rollback does not raise the
    rate again. The paper mentions no schedule."""
    warmup_updates: Annotated[int, Field(ge=0)] = 0
    """Length of the linear warm-up, counted in updates since Adam's state was fresh. Adam's first steps have unit size
    whatever the gradient is, so a fresh optimizer without warm-up jumps. The paper mentions no warm-up."""
    optimizer: Literal["adamw", "schedule_free", "prodigy"] = "adamw"
    """`schedule_free`: AdamW without a schedule (Defazio et al. 2024), evaluated at an average of its iterates;
    `prodigy`: finds its rate by itself (Mishchenko & Defazio 2024), `learning_rate` is not looked at. Both come with
    the extra `optimizers`; engine native alone. What is said of AdamW below holds for them too."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """AdamW's decay of the first moment; torch's default. The paper does not name its optimizer."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """AdamW's decay of the second moment; torch's default."""
    epsilon: Positive = 1e-8
    """AdamW's term against division by zero; torch's default."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's weight decay. The default is 0: a campaign of 20 steps is too short to shrink a pretrained model's
    weights usefully."""
    clip_norm: Annotated[float, Field(ge=0)] = 1.0
    """The gradient is scaled down to this L2 norm where it is larger; 0 turns clipping off. The paper does not give a
    value; 1.0 is the default of most trainers."""
    optimizer_state: Literal["fresh", "kept"] = "fresh"
    """Adam's moments at the start of a campaign: `fresh` (a campaign is a new job that starts from a checkpoint) or
    `kept` from the campaign before. The paper does not say."""
    minibatches: Count = 1
    """Number of updates that a batch is split into, problem by problem. All but the first are off-policy. The paper is
    read as using one."""
    epochs: Count = 1
    """Number of passes over a batch."""
    logprob_temperature: Literal["sampling", "one"] = "sampling"
    """Temperature of the log-probs in the loss. `sampling`: the temperature that the samples were drawn at. `one`: 1.
    If the two differ, the loss differentiates another policy than the one that sampled: the expected score is then not
    zero, and a baseline adds a drift."""
    normalization: Normalization = "sequence_sum"
    """Divisor of a sequence's summed log-prob, in addition to the number of samples N. `sequence_sum`: 1, the unbiased
    REINFORCE. `sequence_mean`: its own length (GRPO). `token_mean`: the batch's tokens in place of N (DAPO).
    `constant`: the token limit (Dr. GRPO)."""
    zero_variance_groups: Literal["counted", "left_out"] = "counted"
    """Treatment of groups in which all rewards are equal. `counted`: they count in the normaliser. `left_out`: they
    give no gradient, whatever the baseline, and do not count in the normaliser either (DAPO's dynamic sampling; the
    "Reject" of Minimalist RL)."""
    rewarded: Literal["passed", "random"] = "passed"
    """Samples that earn the reward. `passed`: those that pass all tests. `random`: as many, drawn at random. `random`
    shows what an update does without any information. Signals always report what passed."""
    flipped: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Share of the verdicts on training samples that are inverted at random, independently: a noisy grader. Evaluations
    and signals use the true verdicts."""
    kl: Annotated[KLPenalty, Kind("kl")] = field(default_factory=default("kl", "none"))
    """KL penalty to the base policy or to the campaign's start. The default has no penalty, as in the paper's naive
    arm."""
    ewc: Annotated[WeightPenalty, Kind("ewc")] = field(default_factory=default("ewc", "none"))
    """Fisher-weighted penalty on the distance to the campaign's start or to the base policy. The default has no
    penalty."""
    pace: Annotated[Pace, Kind("pace")] = field(default_factory=default("pace", "none"))
    """Step meter: limits how far one step's updates may move the policy, whatever the learning rate. The default does
    not measure or limit anything."""

    @property
    def needs_old_logprobs(self) -> bool:
        """Whether `objective` uses the log-probs before the step's first update."""
        return False

    def init(self) -> State:
        return {}

    def advantages(self, passed_PG: NDArray[np.bool_], state: State) -> Advantages:
        """Advantages of binary rewards; `passed_PG` [P, G] says which samples are rewarded."""
        raise TypeError(f"{type(self).__name__} defines no advantages")

    def objective(self, logprobs_RT: Tensor, old_RT: Tensor | None, advantages_R: Tensor) -> Tensor:
        """Contribution of each token to the objective (to be maximised), before normalisation. Plain policy gradient:
        A * log pi, whose gradient is A * grad log pi (Williams 1992)."""
        return advantages_R[:, None] * logprobs_RT

    def clipped(self, ratio_RT: Tensor, advantages_R: Tensor) -> Tensor:
        """Tokens at which `objective` is flat because the importance ratio left its bounds."""
        return ratio_RT != ratio_RT

    def decay(self, step: int, steps: int) -> float:
        """Share of the learning rate that the schedule leaves in `step` (1, 2, ...) of a campaign of `steps`."""
        return 1.0 if self.schedule == "constant" else max(1, steps - step + 1) / steps
