"""The one table of what is measured at a step: name, meaning, unit, keys of other tools, and where it is used.

Engines log under these names and importers map foreign keys onto them, so adding a signal touches this table and the
engine. A signal that was not measured is absent, never 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase


def word_set(text: str) -> frozenset[str]:
    """The words of a text, separated by spaces."""
    return frozenset(text.split())


@dataclass(frozen=True)
class Signal:
    """`keys`: globs of foreign keys, best first; a leading `train/` does not matter. `words`: for keys that no glob
    knows, sets of words (separated by spaces) of which one must stand in the key as a whole. `shown`: in the live view.
    `compared`: with the fall of a score, as a possible lead, in the order of the table."""

    name: str
    meaning: str
    unit: str = ""
    keys: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    shown: bool = False
    compared: bool = False


TABLE: tuple[Signal, ...] = (
    Signal(
        "entropy",
        "mean entropy of the sampling distribution, nats per token",
        "nats per token",
        (
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
        ("entropy",),
        shown=True,
        compared=True,
    ),
    Signal(
        "kl_base",
        "KL(policy || base) per token, k3 estimate on the step's samples, nats",
        "nats per token",
        (
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
            "mean_kl",
            "avg_kl",
            "kl_mean",
            "kl/mean",
            "kl_div",
        ),
        ("kl ref", "kl base", "kl loss", "kl divergence"),
        compared=True,
    ),
    Signal(
        "kl_start",
        "KL(policy || policy at the campaign's start) per token, k3 estimate, nats",
        "nats per token",
        shown=True,
        compared=True,
    ),
    Signal(
        "length",
        "mean completion length, tokens",
        "tokens",
        (
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
            "rollout/response_lengths",
            "response_lengths",
            "ppo_actor/seq_len/avg",
            "val/sequence_lengths",
            "rollout/ep_len_mean",
        ),
        ("completion length", "response length", "response len", "seq length", "generation length", "output length"),
        shown=True,
        compared=True,
    ),
    Signal(
        "truncated",
        "share of completions cut off at the token limit",
        "share",
        (
            "completions/clipped_ratio",
            "response_length/clip_ratio",
            "is_truncated/all/mean",
            "is_truncated/*/mean",
            "rollout/truncated_ratio",
            "rollout/truncated",
            "ppo_actor/no_eos_ratios/avg",
            "eval_truncated_rate",
        ),
        ("truncated", "truncation", "overlong"),
        shown=True,
        compared=True,
    ),
    Signal(
        "grad_norm",
        "L2 norm of the gradient before clipping (mean over the step's updates)",
        "",
        (
            "grad_norm",
            "actor/grad_norm",
            "actor_grad_norm",
            "optim/grad_norm",
            "policy/grad_norm",
            "ppo_actor/update/grad_norm",
        ),
        ("grad norm", "gradient norm", "gradnorm"),
        shown=True,
        compared=True,
    ),
    Signal(
        "reward_std",
        "mean over groups of the reward's standard deviation within the group",
        "",
        ("reward_std", "group_reward_std"),
        compared=True,
    ),
    Signal(
        "zero_variance_groups",
        "share of groups with all rewards equal",
        "share",
        ("frac_reward_zero_std", "reward/num_zero_variance_filtered"),
        compared=True,
    ),
    Signal(
        "mismatch",
        "mean |log-prob difference| between sampler and trainer, nats per token",
        "nats per token",
        (
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
        ("mismatch kl", "mismatch"),
        compared=True,
    ),
    Signal(
        "clip_fraction",
        "share of tokens whose ratio was clipped, over the step's updates",
        "share",
        (
            "clip_ratio/region_mean",
            "clip_ratio",
            "actor/pg_clipfrac",
            "ppo_clip_ratio",
            "pg_clipfrac",
            "ppo_actor/update/clip_ratio/avg",
            "policy/clipfrac_avg",
        ),
        ("clipfrac", "clip frac", "clip fraction"),
        compared=True,
    ),
    Signal(
        "off_policy_kl",
        "KL(old || new) per token over the updates of a batch, old being the policy before the first of them: 0 where "
        "a batch is one update",
        "nats per token",
        (
            "actor/ppo_kl",
            "ppo_kl",
            "ppo_actor/update/approx_kl/avg",
            "policy/approxkl_avg",
            "approx_kl",
            "approxkl",
            "train/approx_kl",
        ),
        ("ppo kl", "approx kl", "approxkl"),
        compared=True,
    ),
    Signal(
        "timeouts",
        "share of the training samples whose grading ran out of time",
        "share",
        (),
        ("timeouts", "timeout rate", "timeout ratio", "timeout frac", "timeout fraction", "timed out", "time limit"),
    ),
    Signal(
        "grader_faults",
        "share of the training samples that the grader could not judge",
        "share",
        (),
        (
            "grader errors",
            "grader error",
            "verifier error",
            "sandbox error",
            "reward error",
            "judge error",
            "infra errors",
            "infra error",
            "infra",
        ),
    ),
    # Other keys of the reward: the rules of `analysis.importers.metrics`.
    Signal("reward", "mean reward of the training batch", "", ("reward",), shown=True, compared=True),
    Signal("rewarded", "mean reward that the update saw, where that is not simply what passed"),
    Signal(
        "all_passed_groups",
        "share of groups in which every sample passed",
        "share",
        ("env/all/by_group/frac_all_good", "baseline_reward/pct_1"),
    ),
    Signal(
        "all_failed_groups",
        "share of groups in which no sample passed",
        "share",
        ("env/all/by_group/frac_all_bad", "baseline_reward/pct_0"),
    ),
    Signal("update_norm", "L2 norm of the step's change of the weights"),
    Signal("step_size", "size of the step as it was kept: KL(old || new) per token, or norm relative to the weights"),
    Signal("step_proposed", "its size as the optimizer took it, before it was pulled back"),
    Signal("step_share", "share of the step that was kept; 1: not pulled back", "share"),
    Signal("step_cosine", "cosine of the step and the one before it: below 0 they undo each other"),
    Signal("step_agreement", "cosine of the gradients of the two halves of the step's problems: 0 where all is noise"),
    Signal(
        "step_output_share",
        "share of the step (squares of the changes) in the layer that makes logits; where it is tied, the embedding",
        "share",
    ),
    Signal("pace", "what the pace multiplied the learning rate of the step by"),
    Signal("kl_coefficient", "coefficient of the KL penalty in the step's updates"),
    Signal("kl_penalty", "KL penalty as the objective has it: coefficient x the rule's mean of the estimates", "nats"),
    Signal(
        "ewc_penalty", "Fisher-weighted penalty before the update: strength / 2 x sum of F (theta - anchor)^2", "nats"
    ),
    Signal("logprob_passed", "mean log-probability per token of the samples that passed", "nats per token"),
    Signal("logprob_failed", "mean log-probability per token of the samples that failed", "nats per token"),
    Signal("distinct", "share of distinct programs among the step's samples", "share"),
    Signal(
        "baseline_drift", "L2 norm of baseline x mean score: the gradient that the baseline adds when E[score] is not 0"
    ),
    Signal("advantage_abs", "mean |advantage|"),
    Signal("ratio_max", "largest importance ratio of the step"),
    Signal(
        "learning_rate",
        "learning rate of the step's last update: configured x rate_warmup x rate_schedule x rate_control x pace",
        "",
        ("learning_rate", "actor/lr", "optim/lr", "lr"),
        ("learning rate", "lr"),
    ),
    Signal("rate_warmup", "factor of the learning rate: warm-up since Adam's state was fresh"),
    Signal("rate_schedule", "factor of the learning rate: the rule's schedule over the campaign"),
    Signal(
        "rate_control",
        "factor of the learning rate: what controllers, of this campaign and between campaigns, left of it",
    ),
    Signal(
        "step_seconds",
        "wall seconds of the step",
        "seconds",
        ("step_time", "timing_s/step", "perf/time_per_step", "time/step", "time/total", "timing/step"),
    ),
)

SIGNALS: dict[str, Signal] = {signal.name: signal for signal in TABLE}
SHOWN: tuple[str, ...] = tuple(signal.name for signal in TABLE if signal.shown)
COMPARED: tuple[str, ...] = tuple(signal.name for signal in TABLE if signal.compared)

NOT_A_MEAN = word_set("min max std var coef coefficient target percentile p10 p50 p90 p95 p99")

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NOT_A_WORD = re.compile(r"[^a-z0-9]+")


def words_of(key: str) -> list[str]:
    """The lower-case words of a key: split at anything but letters and digits, and within camelCase."""
    return [word for word in _NOT_A_WORD.split(_CAMEL.sub(" ", key).lower()) if word]


def signals_in(keys: Iterable[str]) -> dict[str, str]:
    """Canonical signal name -> the key that it stands under. A signal that no key stands for is absent."""
    known = list(keys)
    bare = {key.removeprefix("train/"): key for key in reversed(known)}
    found = {}
    for signal in TABLE:
        key = _by_glob(signal, known, bare) or _by_words(signal, known)
        if key is not None:
            found[signal.name] = key
    return found


def _by_glob(signal: Signal, known: list[str], bare: dict[str, str]) -> str | None:
    exact = next((bare[pattern] for pattern in signal.keys if pattern in bare), None)
    if exact is not None:
        return exact
    for pattern in (p for p in signal.keys if "*" in p):
        matches = sorted(key for name, key in bare.items() if fnmatchcase(name, pattern))
        if matches:
            return matches[0]
    return None


def _by_words(signal: Signal, known: list[str]) -> str | None:
    """The shortest key that has all words of one of the signal's sets."""
    for wanted in map(str.split, signal.words):
        matches = []
        for key in known:
            words = words_of(key)
            others = NOT_A_MEAN - set(wanted)
            if set(wanted) <= set(words) and not others & set(words) and words[0] not in ("eval", "val", "test"):
                matches.append(key)
        if matches:
            return min(matches, key=lambda key: (len(words_of(key)), key))
    return None
