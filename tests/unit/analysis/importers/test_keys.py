"""Which key is chosen for what."""

from __future__ import annotations

import pytest

from crestfall.core.keys import EVALUATIONS, SIGNAL_KEYS, TRAINING_REWARDS, matching, signals_in
from crestfall.core.signals import SIGNALS

TOOLS = {
    "TRL": ("reward", {"entropy": "entropy", "kl_base": "kl", "truncated": "completions/clipped_ratio"}),
    "TRL in W&B": ("train/reward", {"entropy": "train/entropy", "grad_norm": "train/grad_norm"}),
    "verl": ("critic/score/mean", {"kl_base": "actor/kl_loss", "mismatch": "training/rollout_probs_diff_mean"}),
    "OpenRLHF": ("train/reward", {"mismatch": "train/vllm_kl", "clip_fraction": "train/ppo_clip_ratio"}),
    "NeMo-RL": ("train/reward", {"entropy": "train/approx_entropy", "length": "train/mean_gen_tokens_per_sample"}),
    "SkyRL": ("reward/avg_raw_reward", {"entropy": "policy/policy_entropy", "length": "generate/avg_num_tokens"}),
    "AReaL": ("ppo_actor/task_reward/avg", {"entropy": "ppo_actor/update/entropy/avg"}),
}
EVALUATED = {
    "ours": "eval_pass@1",
    "verl": "val-core/openai/gsm8k/acc/mean@1",
    "OpenRLHF": "eval/eval_gsm8k_pass1",
    "prime-rl": "eval/math500/avg@8",
    "tinker": "test/env/all/reward/total",
    "NeMo-RL": "validation/accuracy",
    "SkyRL": "eval/all/avg_score",
    "TRL": "eval_reward",
    "rLLM": "val/gsm8k/pass@1",
    "AReaL": "eval-rollout/reward",
}


@pytest.mark.parametrize("tool", TOOLS)
def test_training_reward_and_signals(tool: str) -> None:
    reward, signals = TOOLS[tool]
    keys = [reward, *signals.values(), "critic/score/max", "reward_std", "train/step_time"]
    assert matching(TRAINING_REWARDS, keys) == [reward]
    found = signals_in(keys)
    assert {signal: found[signal] for signal in signals} == signals


@pytest.mark.parametrize("tool", EVALUATED)
def test_evaluations(tool: str) -> None:
    key = EVALUATED[tool]
    assert matching(EVALUATIONS, [key, "reward", "critic/score/mean", "val-core/x/acc/best@4/mean"]) == [key]


def test_raw_score_before_the_reward_after_kl() -> None:
    assert matching(TRAINING_REWARDS, ["critic/rewards/mean", "critic/score/mean"]) == ["critic/score/mean"]


def test_a_missing_signal_is_absent() -> None:
    assert signals_in(["reward", "loss"]) == {"reward": "reward"}


def test_every_canonical_name_is_one_of_ours() -> None:
    assert SIGNAL_KEYS.keys() <= SIGNALS.keys()
