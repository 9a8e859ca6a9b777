"""The callback in TRL's GRPOTrainer, on a model of a few thousand weights that is made on the spot.

    python examples/guard_trl.py

The reward counts a word; the held-out score wants that word once and no more, so what is paid for leads past the peak.
With a model that writes code, `evaluate` is a `crestfall.guard.code_evaluation.CodeEvaluation` on problems of
your own.
"""

from __future__ import annotations

import tempfile
from typing import Any

from crestfall.core.entry import needs

needs("torch", "transformers", "datasets", "trl")

import torch
import trl
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from crestfall import CrestfallCallback

WORDS = ["<pad>", "<eos>", "<unk>", *(f"w{i}" for i in range(20))]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=raw, padding_side="left", **special)


def tiny_model() -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokens = {"vocab_size": len(WORDS), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    return Qwen2ForCausalLM(Qwen2Config(**shape, **tokens, num_key_value_heads=1))


def reward(completions: list[str], **_: Any) -> list[float]:
    return [float(text.split().count("w7")) for text in completions]


def main() -> None:
    torch.set_num_threads(1)  # more only get into each other's way on a model this small
    tokenizer = tiny_tokenizer()
    held_out = tokenizer(["w1 w2", "w3 w4", "w5 w6"], return_tensors="pt")

    def evaluate(model: Any, step: int) -> dict[str, Any]:
        """How many of 32 samples of each held-out prompt hold the word exactly once."""
        out = model.generate(**held_out, do_sample=True, max_new_tokens=6, num_return_sequences=32)
        hits = (out[:, 2:] == tokenizer.convert_tokens_to_ids("w7")).sum(1) == 1
        return {"select": hits.view(3, 32).sum(1).tolist(), "n": 32}

    callback = CrestfallCallback(control={"name": "significant_fall", "horizon": 15}, evaluate=evaluate)
    config = trl.GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        max_steps=15,
        per_device_train_batch_size=16,
        num_generations=8,
        max_completion_length=6,
        learning_rate=2e-2,
        lr_scheduler_type="constant",
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = trl.GRPOTrainer(
        model=tiny_model(),
        reward_funcs=reward,
        args=config,
        train_dataset=Dataset.from_dict({"prompt": [f"w{i % 20} w{i % 7}" for i in range(64)]}),
        processing_class=tokenizer,
    )
    callback.attach(trainer)
    trainer.train()

    assert callback.decision is not None
    steps = {int(state["step"]) for state in trainer.optimizer.state_dict()["state"].values()}
    print(f"trained {trainer.state.global_step} steps; {callback.decision.reason}")
    print(f"final weights: step {callback.decision.target_step}; Adam's step counter: {steps}")


if __name__ == "__main__":
    main()
