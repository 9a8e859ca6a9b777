"""Which key is chosen for what, by the words in it."""

from __future__ import annotations

import pytest

from crestfall.analysis.importers.metrics import evaluations, parts, rewards, role_of, step_rank
from crestfall.core.signals import COMPARED, SIGNALS, TABLE, signals_in

TOOLS = {
    "TRL": ("reward", {"entropy": "entropy", "kl_base": "kl", "truncated": "completions/clipped_ratio"}),
    "TRL in W&B": ("train/reward", {"entropy": "train/entropy", "grad_norm": "train/grad_norm"}),
    "verl": ("critic/score/mean", {"kl_base": "actor/kl_loss", "mismatch": "training/rollout_probs_diff_mean"}),
    "OpenRLHF": ("train/reward", {"mismatch": "train/vllm_kl", "clip_fraction": "train/ppo_clip_ratio"}),
    "NeMo-RL": ("train/reward", {"entropy": "train/approx_entropy", "length": "train/mean_gen_tokens_per_sample"}),
    "SkyRL": ("reward/avg_raw_reward", {"entropy": "policy/policy_entropy", "length": "generate/avg_num_tokens"}),
    "AReaL": ("ppo_actor/task_reward/avg", {"entropy": "ppo_actor/update/entropy/avg"}),
    "slime": ("rollout/raw_reward", {"length": "rollout/response_lengths", "entropy": "train/entropy_loss"}),
    "own": (
        "mean_reward",
        {"grad_norm": "gradient_norm", "length": "avg_response_length", "entropy": "policy_entropy"},
    ),
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
    "open-instruct": "eval/objective/verifiable_correct_rate",
}
ROLES = {
    "evaluation": "val_acc valid_acc validation_accuracy test/acc dev_acc eval/pass@1 humaneval_pass@1 HumanEval "
    "gsm8k_acc "
    "math500 eval/aime24/mean@8 AIME-2024 eval_score eval/avg_return pass@1 pass_at_1 test_reward lcb_v5 eval/aime",
    "reward": "reward mean_reward episode_reward rollout/ep_rew_mean env_runners/episode_return_mean train/accuracy "
    "objective/verifiable_correct_rate rewards/accuracy_reward format_reward charts/episodic_return AverageEpRet",
    "score": "success_rate solve_rate pass_rate win_rate accuracy acc exact_match f1 score frac_correct resolved_rate",
    "aside": "loss eval_loss reward_std critic/score/max eval_runtime eval/entropy response_length/mean kl grad_norm "
    "val-core/x/acc/best@4/mean val-aux/x/reward/maj@4/mean reward_loss advantage learning_rate eval/mean_ep_length "
    "rewards/chosen rewards/margins value_loss perplexity train/unsolved_batch_size_ratio time/fps",
}
COUNTERS = (
    "step Step global_step train/global_step _step global_step/max_steps current_steps epoch iteration timesteps "
    "time/total_timesteps training_iteration episode update progress/batch TotalEnvInteracts itr"
)
NO_COUNTERS = "step_time time/step steps_per_second max_steps warmup_steps reward/step batch_size loss"


@pytest.mark.parametrize("tool", TOOLS)
def test_training_reward_and_signals(tool: str) -> None:
    reward, signals = TOOLS[tool]
    keys = [reward, *signals.values(), "critic/score/max", "reward_std", "train/step_time"]
    assert rewards(keys) == [reward]
    found = signals_in(keys)
    assert {signal: found[signal] for signal in signals} == signals


@pytest.mark.parametrize("tool", EVALUATED)
def test_evaluations(tool: str) -> None:
    key = EVALUATED[tool]
    assert evaluations([key, "reward", "critic/score/mean", "val-core/x/acc/best@4/mean"]) == [key]


@pytest.mark.parametrize("role", ROLES)
def test_roles_by_rule(role: str) -> None:
    assert [(key, role_of(key)) for key in ROLES[role].split()] == [(key, role) for key in ROLES[role].split()]


def test_counters_of_steps() -> None:
    assert [key for key in COUNTERS.split() if step_rank(key) is None] == []
    assert [key for key in NO_COUNTERS.split() if step_rank(key) is not None] == []


def test_raw_score_before_the_reward_after_kl() -> None:
    assert rewards(["critic/rewards/mean", "critic/score/mean"])[0] == "critic/score/mean"


def test_accuracies_before_rewards_and_one_sample_before_several() -> None:
    keys = ["eval_reward", "eval/pass@8", "eval/pass@1", "eval/score"]
    assert evaluations(keys) == ["eval/pass@1", "eval/score", "eval_reward", "eval/pass@8"]


def test_parts_of_a_reward() -> None:
    keys = ["reward", "rewards/accuracy_reward", "rewards/format_reward/mean", "critic/rewards/mean", "eval_reward"]
    assert rewards(keys)[0] == "reward"
    assert parts(keys, "reward") == ["rewards/accuracy_reward", "rewards/format_reward/mean"]


def test_a_missing_signal_is_absent() -> None:
    assert signals_in(["reward", "loss"]) == {"reward": "reward"}


def test_one_table_of_signals() -> None:
    assert len(SIGNALS) == len(TABLE)
    assert all(signal.meaning for signal in TABLE)
    assert COMPARED[0] == "entropy"
    assert "learning_rate" not in COMPARED
