"""An update rule as options of TRL's loss, or one line that says why it is none.

TRL's loss of a token is -min(ratio A, clip(ratio) A). With old log-probs absent the ratio is 1 and its gradient that of
A log pi: plain policy gradient, however many updates a batch has. Advantages are the rule's own, computed by crestfall
(any baseline, any standardisation); TRL's come after the fact and are not used.

    normalization    TRL's loss_type                       and what remains
    constant         dr_grpo: / (N max_tokens)
    sequence_sum     dr_grpo                               times max_tokens
    sequence_mean    grpo: mean over N of the token mean
    token_mean       dapo: / all tokens of the update
"""

from __future__ import annotations

from typing import Any

from crestfall.core.errors import ConfigError
from crestfall.testbed.updates.base import UpdateRule
from crestfall.testbed.updates.clipping import Clipped

LOSS_TYPES = {"constant": "dr_grpo", "sequence_sum": "dr_grpo", "sequence_mean": "grpo", "token_mean": "dapo"}


def loss_options(rule: UpdateRule, sampling_temperature: float) -> dict[str, Any]:
    """Arguments of GRPOConfig. Raises ConfigError for a rule that TRL's loss cannot follow."""
    for penalty, needs in (("kl", rule.kl.compared_with()), ("ewc", rule.ewc.held_at())):
        if needs is not None:  # a second set of weights
            raise ConfigError(f"update.{penalty}: engine trl has no penalties; use engine native")
    if rule.optimizer != "adamw":
        raise ConfigError(f"update.optimizer: engine trl has AdamW alone, found {rule.optimizer!r}; use engine native")
    if rule.pace.halves:
        raise ConfigError("update.pace.follow: engine trl does not compare half batches; use engine native, or 'fixed'")
    clips = isinstance(rule, Clipped)
    if type(rule).objective is not (Clipped if clips else UpdateRule).objective:
        raise ConfigError(
            f"update {rule.name!r}: engine trl knows A log pi and the clipped ratio only; use engine native"
        )
    return {
        "loss_type": LOSS_TYPES[rule.normalization],
        "temperature": sampling_temperature if rule.logprob_temperature == "sampling" else 1.0,
        "epsilon": rule.clip_low if isinstance(rule, Clipped) else 0.2,
        "epsilon_high": rule.clip_high if isinstance(rule, Clipped) else None,
        "importance_sampling_level": "token",
        "scale_rewards": "none",
        "beta": 0.0,
        "num_iterations": 1,
        "mask_truncated_completions": False,
    }


def loss_scale(rule: UpdateRule, max_tokens: int) -> float:
    """Multiplier of TRL's loss."""
    return float(max_tokens) if rule.normalization == "sequence_sum" else 1.0
