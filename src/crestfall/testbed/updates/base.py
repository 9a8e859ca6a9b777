"""What an update rule is, and the options that all of them share.

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
"""What a rule remembers from step to step; part of every snapshot."""

Normalization = Literal["sequence_sum", "sequence_mean", "token_mean", "constant"]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Advantages:
    values_PG: Rewards
    baseline_PG: Rewards
    """What was subtracted from the reward, to measure the drift it adds."""
    state: State


@dataclass(frozen=True, kw_only=True)
class UpdateRule:
    """The options of every rule. `advantages` and `objective` are what a rule defines."""

    name: ClassVar[str]

    learning_rate: Positive = 5e-4
    """Of AdamW, at its highest. Sized for the tiny policy; the paper's 1e-6 is for 3-7 B parameters."""
    rate_factor: Positive = 1.0
    """What `learning_rate` is multiplied by. For a method of a study whose regimes set the rate: a quarter of whatever
    it is."""
    schedule: Literal["constant", "linear"] = "constant"
    """What becomes of it over a campaign. `linear`: it falls from the first step's full rate to 1/steps of it in the
    last of the campaign's configured steps, and stays there should a campaign go on. It follows the step counter, which
    a rollback does not turn back. The paper mentions no schedule."""
    warmup_updates: Annotated[int, Field(ge=0)] = 0
    """Linear warm-up, in updates since Adam's state was last fresh. Adam's first steps have unit size whatever the
    gradient, so a fresh optimizer without warm-up jumps. The paper mentions none."""
    optimizer: Literal["adamw", "schedule_free", "prodigy"] = "adamw"
    """`schedule_free`: AdamW without a schedule (Defazio et al. 2024), evaluated at an average of its iterates;
    `prodigy`: finds its rate by itself (Mishchenko & Defazio 2024), `learning_rate` is not looked at. Both come with
    the extra `optimizers`; engine native alone. What is said of AdamW below holds for them too."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of AdamW, as torch's default. The paper does not name its optimizer."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Of AdamW, as torch's default."""
    epsilon: Positive = 1e-8
    """Of AdamW, as torch's default."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Of AdamW. None: a campaign of 20 steps is no place to shrink a pretrained model's weights."""
    clip_norm: Annotated[float, Field(ge=0)] = 1.0
    """The gradient's L2 norm is cut to this; 0: never. Unknown for the paper; 1.0 is what trainers default to."""
    optimizer_state: Literal["fresh", "kept"] = "fresh"
    """Adam's moments at the start of a campaign. Fresh by default: a campaign is a new job from a checkpoint. The paper
    does not say."""
    minibatches: Count = 1
    """Updates that a batch is split into, problem by problem; all but the first are off-policy. The paper's is read as
    one."""
    epochs: Count = 1
    """Passes over a batch."""
    logprob_temperature: Literal["sampling", "one"] = "sampling"
    """Temperature of the log-probs in the loss. `sampling` is the policy that acted; `one` differentiates another one
    than was sampled from, so that the expected score is not zero and a baseline adds a drift."""
    normalization: Normalization = "sequence_sum"
    """What a sequence's summed log-prob is divided by, beside the number of samples N. `sequence_sum`: nothing, the
    unbiased REINFORCE; `sequence_mean`: its own length (GRPO); `token_mean`: the batch's tokens instead of N (DAPO);
    `constant`: the token limit (Dr. GRPO)."""
    zero_variance_groups: Literal["counted", "left_out"] = "counted"
    """Groups in which all rewards are equal. `left_out`: they give no gradient, whatever the baseline, and do not count
    in the normaliser either (DAPO's dynamic sampling; the "Reject" of Minimalist RL)."""
    rewarded: Literal["passed", "random"] = "passed"
    """Which samples earn the reward: those that passed, or as many at random, whatever the program does. The control
    for what an update does without information. All signals still tell what passed."""
    flipped: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Share of the verdicts on training samples that are turned around at random, each by itself: a noisy grader.
    Evaluations and signals keep the right ones."""
    kl: Annotated[KLPenalty, Kind("kl")] = field(default_factory=default("kl", "none"))
    """KL penalty to the base policy or to the campaign's start. None, as in the paper's naive arm."""
    ewc: Annotated[WeightPenalty, Kind("ewc")] = field(default_factory=default("ewc", "none"))
    """Fisher-weighted pull to where the campaign started, or to the base policy. None."""
    pace: Annotated[Pace, Kind("pace")] = field(default_factory=default("pace", "none"))
    """How far one step's updates may move the policy, whatever the learning rate. None: as far as they do."""

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
        """What each token adds to the objective (to be maximised), before normalisation. Plain policy gradient:
        A * log pi, whose gradient is A * grad log pi (Williams 1992)."""
        return advantages_R[:, None] * logprobs_RT

    def clipped(self, ratio_RT: Tensor, advantages_R: Tensor) -> Tensor:
        """Tokens at which `objective` is flat because the importance ratio left its bounds."""
        return ratio_RT != ratio_RT

    def decay(self, step: int, steps: int) -> float:
        """What the schedule leaves of the learning rate in `step` (1, 2, ...) of a campaign of `steps`."""
        return 1.0 if self.schedule == "constant" else max(1, steps - step + 1) / steps
