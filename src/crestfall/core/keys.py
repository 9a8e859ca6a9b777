"""Which key is what: the metric to judge a run by, and the companion signals under their canonical names.

Patterns are globs, in order of preference. Evaluations on held-out problems come before training rewards: a training
reward can look healthy where held-out accuracy is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

EVALUATIONS: tuple[str, ...] = (
    "select",  # crestfall.Guard's own observations
    "report/pass_at_1",  # crestfall's trackers
    "select/pass_at_1",
    "eval_pass@1",
    "eval/pass@1",
    "eval/pass_at_1",
    "val-core/*/acc/mean@*",
    "val-core/*/reward/mean@*",
    "val-core/*/mean@*",
    "val/*/pass@1",
    "val/test_score/*",
    "eval/*/avg@*",
    "eval/*/pass@1",
    "eval/eval_*_pass1",
    "eval/all/avg_score",
    "eval/*/avg_score",
    "test/env/all/reward/total",
    "test/env/*/correct",
    "test/env/*/reward/total",
    "validation/accuracy",
    "* primary_score",
    "eval-rollout/reward",
    "eval_reward",
    "eval/reward",
    "eval_*accuracy",
    "eval/*accuracy",
    "eval_rewards/*/mean",
    "eval/rewards/*/mean",
    "eval/*score*",
    "eval/*reward*",
    "test/*accuracy",
    "test/*reward*",
    "val*/*acc*",
)

TRAINING_REWARDS: tuple[str, ...] = (
    "reward",
    "train/reward",
    "critic/score/mean",
    "critic/rewards/mean",
    "reward/all/mean",
    "reward/mean",
    "env/all/reward/total",
    "reward/avg_raw_reward",
    "rollout/raw_reward",
    "rollout/reward",
    "ppo_actor/task_reward/avg",
    "reward/*/mean",
    "env/*/reward/total",
    "train/rewards/*/mean",
    "rewards/*/mean",
    "rewards/*",
    "*reward/mean",
    "*mean_reward*",
    "*reward_mean*",
    "objective/scores",
)

PLAIN: tuple[str, ...] = ("pass@1", "pass_at_1", "accuracy", "acc", "score", "value")

NOT_A_LEVEL: tuple[str, ...] = ("*std*", "*/min", "*/max", "*best@*", "*maj@*", "*worst@*", "*time*", "*loss*")

SIGNAL_KEYS: Mapping[str, tuple[str, ...]] = {
    "reward": TRAINING_REWARDS,
    "entropy": (
        "entropy",
        "actor/entropy",
        "actor/entropy_loss",
        "policy/policy_entropy",
        "policy/entropy",
        "policy/entropy_avg",
        "ppo_actor/update/entropy/avg",
        "rollout/entropy",
        "entropy/all/mean",
        "entropy/*/mean",
        "optim/entropy",
        "entropy_loss",
        "approx_entropy",
    ),
    "kl_base": (
        "kl",
        "actor/kl_loss",
        "actor/reward_kl_penalty",
        "kl_policy_base",
        "policy/policy_kl",
        "loss/avg_kl",
        "kl_penalty",
        "kl_loss",
        "objective/kl*_avg",
        "objective/kl",
    ),
    "length": (
        "completions/mean_length",
        "completion_length",
        "response_length/mean",
        "response_length",
        "seq_len/all/mean",
        "seq_len/*/mean",
        "env/all/ac_tokens_per_turn",
        "mean_gen_tokens_per_sample",
        "generate/avg_num_tokens",
        "rollout/response_len/mean",
        "ppo_actor/seq_len/avg",
        "val/sequence_lengths",
    ),
    "truncated": (
        "completions/clipped_ratio",
        "response_length/clip_ratio",
        "is_truncated/all/mean",
        "is_truncated/*/mean",
        "rollout/truncated_ratio",
        "ppo_actor/no_eos_ratios/avg",
        "eval_truncated_rate",
    ),
    "grad_norm": (
        "grad_norm",
        "actor/grad_norm",
        "actor_grad_norm",
        "optim/grad_norm",
        "policy/grad_norm",
        "ppo_actor/update/grad_norm",
    ),
    "reward_std": ("reward_std", "group_reward_std"),
    "zero_variance_groups": ("frac_reward_zero_std", "reward/num_zero_variance_filtered"),
    "all_passed_groups": ("env/all/by_group/frac_all_good", "baseline_reward/pct_1"),
    "all_failed_groups": ("env/all/by_group/frac_all_bad", "baseline_reward/pct_0"),
    "clip_fraction": (
        "clip_ratio/region_mean",
        "clip_ratio",
        "actor/pg_clipfrac",
        "ppo_clip_ratio",
        "pg_clipfrac",
        "ppo_actor/update/clip_ratio/avg",
        "policy/clipfrac_avg",
    ),
    "mismatch": (
        "sampling/sampling_logp_difference/mean",
        "training/rollout_probs_diff_mean",
        "rollout_corr/k3_kl",
        "rollout_corr/kl",
        "vllm_kl",
        "mismatch_kl/all/mean",
        "mismatch_kl/*/mean",
        "optim/kl_sample_train_v1",
        "policy/rollout_train_logprobs_abs_diff_mean",
        "train_rollout_logprob_abs_diff",
        "debug/vllm_vs_local_logprob_diff_mean",
        "token_mult_prob_error",
        "gen_kl_error",
    ),
    "learning_rate": ("learning_rate", "actor/lr", "optim/lr", "lr"),
    "step_seconds": ("step_time", "timing_s/step", "perf/time_per_step", "time/step", "time/total", "timing/step"),
}
"""Canonical name (`crestfall.core.signals`) -> keys, best first. A missing key: nothing was logged, never 0."""

STEP_KEYS: tuple[str, ...] = (
    "training/global_step",
    "train/global_step",
    "trainer/global_step",
    "global_step",
    "step",
    "Step",
    "progress/batch",
    "_step",
    "iteration",
    "iter",
)


def matching(patterns: Iterable[str], keys: Iterable[str]) -> list[str]:
    """The keys that the first pattern with any match matches, in order; a leading `train/` does not matter."""
    known = [k for k in keys if not any(fnmatchcase(k, bad) for bad in NOT_A_LEVEL)]
    for pattern in patterns:
        found = [k for k in known if fnmatchcase(k, pattern) or fnmatchcase(k.removeprefix("train/"), pattern)]
        if found:
            return sorted(found)
    return []


def all_matching(patterns: Iterable[str], keys: Iterable[str]) -> list[str]:
    """The keys that any pattern matches, in order."""
    known = list(keys)
    return sorted({key for pattern in patterns for key in matching([pattern], known)})


def signals_in(keys: Iterable[str]) -> dict[str, str]:
    """Canonical signal name -> the key that it stands under."""
    known = list(keys)
    found = {}
    for signal, patterns in SIGNAL_KEYS.items():
        exact = [p for p in patterns if p in known or f"train/{p}" in known]
        if exact:
            found[signal] = exact[0] if exact[0] in known else f"train/{exact[0]}"
        elif matches := matching([p for p in patterns if "*" in p], known):
            found[signal] = matches[0]
    return found
