"""A Qwen2 of some thousand weights and a tokenizer trained on the spot: real trainers, nothing downloaded."""

from pathlib import Path
from typing import Any


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.WordLevel(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    words = [f"w{i}" for i in range(20)]
    raw.train_from_iterator([" ".join(words)], trainers.WordLevelTrainer(special_tokens=["<pad>", "<eos>", "<unk>"]))
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )


def model(seed: int = 0) -> Any:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    tokens = {"vocab_size": 23, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    return Qwen2ForCausalLM(Qwen2Config(**size, **heads, **tokens, max_position_embeddings=64))


def reward(completions: list[str], **_: Any) -> list[float]:
    return [float(text.count("w1")) for text in completions]


def prompts() -> Any:
    from datasets import Dataset

    return Dataset.from_dict({"prompt": [f"w{i % 20} w{(3 * i) % 20}" for i in range(64)]})


def trainer(kind: str, output: Path, callbacks: list[Any], policy: Any = None, **options: Any) -> Any:
    """A GRPOTrainer or RLOOTrainer (`kind`) on the CPU."""
    import trl

    defaults: dict[str, Any] = {
        "output_dir": str(output),
        "max_steps": 6,
        "per_device_train_batch_size": 4,
        "num_generations": 2,
        "max_completion_length": 4,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "beta": 0.0,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
    }
    config = getattr(trl, f"{kind}Config")(**(defaults | options))
    return getattr(trl, f"{kind}Trainer")(
        model=policy if policy is not None else model(),
        reward_funcs=reward,
        args=config,
        train_dataset=prompts(),
        eval_dataset=prompts(),
        processing_class=tokenizer(),
        callbacks=callbacks,
    )


def adam_steps(trainer: Any) -> set[int]:
    """Adam's step counters over all weights; none before the first update."""
    return {int(state["step"]) for state in trainer.optimizer.state_dict()["state"].values()}


def weights(trainer: Any) -> dict[str, Any]:
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}
