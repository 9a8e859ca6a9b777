"""A Qwen2 of some ten thousand weights and a tokenizer trained on the spot, saved as a hub would hold them, and a task
source whose programs random text passes about half the time: real campaigns of a real Hugging Face model in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from crestfall.core.registry import register
from crestfall.core.types import CallCase, CallTests, Problem
from crestfall.testbed.policies.hf import HfPolicy, Lora
from crestfall.testbed.tasks.base import CampaignSets

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<eos>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
# What no sample may be touched by: a policy that let this in would write the same each time, and no word twice.
HOSTILE = {"do_sample": True, "repetition_penalty": 2.0, "top_k": 1, "top_p": 0.1, "temperature": 9.0}


def save(
    directory: Path, chat: bool = False, family: str = "Qwen2", model: str = "", seed: int = 0, **config: Any
) -> Path:
    """Model, tokenizer and a hostile generation_config; two tokens end a text, of which the tokenizer knows one."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GenerationConfig, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<pad>", "<eos>", "<end_of_turn>", "<|user|>", "<|assistant|>"]
    raw.train_from_iterator(
        ["def f(x):\n    return x * 2\n", "given a number : add 3 , then square it"],
        trainers.BpeTrainer(vocab_size=90, special_tokens=special, initial_alphabet=["Ċ"]),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>")
    tokenizer.chat_template = TEMPLATE if chat else None
    tokenizer.save_pretrained(directory)

    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "max_position_embeddings": 128}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "attention_dropout": 0.5}
    ids = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1, "tie_word_embeddings": True}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        options = getattr(transformers, f"{family}Config")(**(size | heads | ids | config))
        made = getattr(transformers, model or f"{family}ForCausalLM")(options)
        with torch.no_grad():
            for parameter in made.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(6.0)  # peaked enough that samples differ in probability
    made.generation_config = GenerationConfig(eos_token_id=[1, 2], pad_token_id=0, **HOSTILE)
    made.save_pretrained(directory)
    return directory


# Attention that sees the last few tokens only, and logits that are bent: what differs from model to model.
GEMMA = {"family": "Gemma2", "head_dim": 8, "sliding_window": 8, "final_logit_softcapping": 3.0}
# Experts; recurrent layers, whose cache cannot be shared; a head that reads a module inside the base model.
MIXTRAL = {"family": "Mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
LFM2 = {"family": "Lfm2", "layer_types": ["conv", "full_attention"]}
OPT = {"family": "OPT", "word_embed_proj_dim": 32, "ffn_dim": 48}
SAVED: dict[str, dict[str, Any]] = {
    "hf-gemma": GEMMA,
    "hf-gemma-checkpointing": GEMMA,
    "hf-mixtral": MIXTRAL,
    "hf-lfm2": LFM2,
    "hf-lfm2-checkpointing": LFM2,
    "hf-opt": OPT,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "hf": {},
    "hf-lora": {"lora": Lora(rank=4)},
    "hf-small-budget": {"tokens_per_microbatch": 250},
    "hf-checkpointing": {"gradient_checkpointing": True},
    "hf-lora-checkpointing": {"lora": Lora(rank=4), "gradient_checkpointing": True},
    "hf-gemma": {},
    "hf-gemma-checkpointing": {"gradient_checkpointing": True},
    "hf-mixtral": {},
    "hf-lfm2": {},
    "hf-lfm2-checkpointing": {"gradient_checkpointing": True},
    "hf-opt": {},
}


def policy(directory: Path, **options: Any) -> HfPolicy:
    # A budget of two or three groups at a time: several microbatches, and prompts that are padded.
    return HfPolicy(
        **({"model": str(directory), "device": "cpu", "max_tokens": 24, "tokens_per_microbatch": 1200} | options)
    )


@register("tasks", "comments")
@dataclass(frozen=True)
class Comments:
    """The policy writes a comment behind `return 1`; a new line ends it, and what follows is mostly no Python."""

    name: ClassVar[str]

    def campaign(self, seed: int, campaign: int, sizes: Any) -> CampaignSets:
        return CampaignSets(
            *(problems(f"{kind}-{seed}-{campaign}", getattr(sizes, kind)) for kind in ("train", "select", "report"))
        )

    def final(self, size: int) -> Sequence[Problem]:
        return problems("final", size)

    def check(self, campaigns: int, sizes: Any, final: int) -> None:
        """There are problems of any number."""


def problems(name: str, size: int) -> list[Problem]:
    tests = CallTests("f", (CallCase((1,), 1),))
    stub = "def f(x):\n    return 1  # "
    return [Problem(f"{name}/{i}", "square it " * (i % 3 + 1), tests, f"{name}/{i}", stub) for i in range(size)]
