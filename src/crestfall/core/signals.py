"""The canonical names of what is measured at a step. Importers map foreign keys onto these; engines log under them.

A signal that was not measured is absent, never 0.
"""

from __future__ import annotations

SIGNALS: dict[str, str] = {
    "reward": "mean reward of the training batch",
    "reward_std": "mean over groups of the reward's standard deviation within the group",
    "zero_variance_groups": "share of groups with all rewards equal",
    "all_passed_groups": "share of groups in which every sample passed",
    "all_failed_groups": "share of groups in which no sample passed",
    "entropy": "mean entropy of the sampling distribution, nats per token",
    "length": "mean completion length, tokens",
    "truncated": "share of completions cut off at the token limit",
    "grad_norm": "L2 norm of the gradient before clipping (mean over the step's updates)",
    "update_norm": "L2 norm of the step's change of the weights",
    "step_size": "size of the step as it was kept: KL(old || new) per token, or norm relative to the weights",
    "step_proposed": "its size as the optimizer took it, before it was pulled back",
    "step_share": "share of the step that was kept; 1: not pulled back",
    "step_cosine": "cosine of the step and the one before it: below 0 they undo each other",
    "pace": "what the pace multiplied the learning rate of the step by",
    "kl_base": "KL(policy || base) per token, k3 estimate on the step's samples, nats",
    "kl_start": "KL(policy || policy at the campaign's start) per token, k3 estimate, nats",
    "kl_coefficient": "coefficient of the KL penalty in the step's updates",
    "kl_penalty": "KL penalty as the objective has it: coefficient x the rule's mean of the estimates",
    "ewc_penalty": "Fisher-weighted penalty before the update: strength / 2 x sum of F (theta - anchor)^2",
    "logprob_passed": "mean log-probability per token of the samples that passed",
    "logprob_failed": "mean log-probability per token of the samples that failed",
    "distinct": "share of distinct programs among the step's samples",
    "baseline_drift": "L2 norm of baseline x mean score: the gradient that the baseline adds when E[score] is not 0",
    "advantage_abs": "mean |advantage|",
    "clip_fraction": "share of tokens whose ratio was clipped, over the step's updates",
    "ratio_max": "largest importance ratio of the step",
    "mismatch": "mean |log-prob difference| between sampler and trainer, nats per token",
    "learning_rate": "learning rate of the step's last update: the configured one x rate_warmup x rate_schedule x "
    "rate_control x pace",
    "rate_warmup": "factor of the learning rate: warm-up since Adam's state was fresh",
    "rate_schedule": "factor of the learning rate: the rule's schedule over the campaign",
    "rate_control": "factor of the learning rate: what controllers, of this campaign and between campaigns, left of it",
    "step_seconds": "wall seconds of the step",
}
