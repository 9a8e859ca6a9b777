"""CodeGrader as TRL's and verl's reward."""

from __future__ import annotations

import pytest

from crestfall.core.errors import CrestfallWarning, GraderError, InputError
from crestfall.core.types import CallCase, CallTests, Problem
from crestfall.grading import CodeGrader, Limits
from crestfall.guard import rewards
from crestfall.guard.rewards import compute_score, trl_reward

DOUBLE = Problem("double", "", CallTests("f", (CallCase((2,), 4),)), "double", stub="def f(x):\n")


@pytest.fixture(scope="module")
def reward():
    with CodeGrader(Limits(workers=1)) as grader:
        yield trl_reward([DOUBLE], grader)


def test_plain_and_conversational_completions(reward):
    chat = [{"role": "assistant", "content": "Sure:\n```python\ndef f(x):\n    return x * 2\n```"}]
    completions = ["    return x * 2", "    return x", chat]
    assert reward(completions=completions, prompts=[""] * 3, task_id=["double"] * 3) == [1.0, 0.0, 1.0]


def test_an_unknown_problem_is_an_error(reward):
    with pytest.raises(InputError, match="task_id"):
        reward(completions=["x"])
    with pytest.raises(InputError, match="'other'"):
        reward(completions=["x"], task_id=["other"])


def test_verl():
    truth = '{"task_id": "double", "entry_point": "f", "tests": [[[2], 4]]}'
    assert compute_score("own", "```python\ndef f(x): return 2 * x\n```", truth) == 1.0
    assert compute_score("own", "I cannot.", truth) == 0.0


@pytest.mark.trl
@pytest.mark.slow
def test_trl_trains_two_steps_with_it(tmp_path, reward):
    pytest.importorskip("trl")
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer

    words = {w: i for i, w in enumerate(["<pad>", "<eos>", "<unk>", *"abcdefghijklmnopqrstuvwxyz0123456789*+ ():"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=1,
        )
    )
    trainer = GRPOTrainer(
        model=model,
        processing_class=fast,
        reward_funcs=reward,
        train_dataset=Dataset.from_list([{"prompt": "def f(x):", "task_id": "double"}] * 8),
        args=GRPOConfig(
            output_dir=str(tmp_path),
            max_steps=2,
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=8,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            logging_steps=1,
        ),
    )
    trainer.train()
    assert trainer.state.global_step == 2
    assert any("rewards/crestfall_reward/mean" in entry for entry in trainer.state.log_history)


def test_a_fault_of_the_grader_is_counted_and_does_not_reach_the_trainer(monkeypatch):
    class Broken:
        limits = Limits()

        def grade_batch(self, pairs):
            raise GraderError("no process could be started")

    monkeypatch.setattr(rewards, "shared_grader", lambda every_test: Broken())
    truth = '{"entry_point": "f", "tests": [[[2], 4]]}'
    before = rewards.ungraded()
    with pytest.warns(CrestfallWarning, match="no process could be started"):
        assert compute_score("own", "```python\ndef f(x): return 2 * x\n```", truth) == 0.0
    assert rewards.ungraded() == before + 1
    with pytest.warns(CrestfallWarning, match="no process could be started"):
        assert trl_reward(None, Broken(), "truth")(["return 2 * x"], truth=[truth]) == [None]
