"""Models made on the spot: the shape of a known family, random weights, a tokenizer of the same vocabulary size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
EOS = 2


@dataclass(frozen=True)
class Shape:
    """Of Qwen2.5 (arXiv 2412.15115), whose small models tie the head to the embedding."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int = 151_936


SHAPES = {
    "0.5B": Shape(896, 4864, 24, 14, 2),
    "3B": Shape(2048, 11008, 36, 16, 2),
    "tiny": Shape(64, 96, 2, 4, 2, 512),
}


def save(directory: Path, shape: Shape, device: str, family: str = "Qwen2", scale: float = 1.0, **config: Any) -> Path:
    """The model in bfloat16, a byte-level tokenizer with a chat template. `scale`: what matrices are multiplied with,
    so that a small random model has something to say."""
    import transformers

    size = {
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": 32_768,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
        "eos_token_id": EOS,
        "bos_token_id": None,
    }
    options = getattr(transformers, f"{family}Config")(**(size | config))
    with torch.random.fork_rng(devices=["cuda"] if device == "cuda" else []), torch.device(device):
        torch.manual_seed(0)
        model = getattr(transformers, f"{family}ForCausalLM")(options).to(torch.bfloat16)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(scale)
    model.save_pretrained(directory)
    tokenizer(shape.vocabulary).save_pretrained(directory)
    return directory


def tokenizer(vocabulary: int) -> Any:
    """Bytes, and words that no text has: what a random model writes must be read, too."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    known = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    words = known + [f"Ġw{i}" for i in range(vocabulary - len(known))]
    raw = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token=SPECIAL[0], eos_token=SPECIAL[EOS])
    made.chat_template = TEMPLATE
    return made
