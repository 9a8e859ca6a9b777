"""Size of a policy without loading its weights; a dry run computes memory and disk from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_FLOAT32, _BFLOAT16 = 4, 2


@dataclass(frozen=True)
class ModelSize:
    """Counts are of values; `bytes` in a name says that it is not. Trained weights, their gradients and Adam's moments
    are float32."""

    parameters: int
    trainable: int
    weight_bytes: int
    """Bytes of all weights as they are held."""
    cast_bytes: int
    """Bytes of the copies of the weights in the type of the computation, if that is another."""
    value_bytes: int
    """Bytes of one activation, key or value."""
    cache: int
    """Keys and values of one token in all layers; layers that look back a bounded way only are counted as full ones."""
    saved_bytes: int
    """Bytes of the activations of one token that the backward pass needs, by a rule of thumb."""
    vocabulary: int
    sampled_together: int | None
    """Tokens, padding included; None: a whole batch."""
    trained_together: int
    """Tokens of a microbatch, padding included."""
    logits_together: int


def of_transformers(
    model: str,
    *,
    revision: str | None,
    gguf_file: str | None,
    lora_rank: int | None,
    bfloat16: bool,
    tokens: int,
    sampled: int,
    logits: int,
    checkpointing: bool,
) -> ModelSize:
    """The size of a transformers model by its config alone: the weights are made on torch's meta device, which holds
    shapes and no numbers. With LoRA, adapters on every linear layer but the head are counted.

    Raises:
        Exception: whatever transformers raises where it knows no such model.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(model, revision=revision or "main", gguf_file=gguf_file)
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config)
    parameters = sum(p.numel() for p in empty.parameters())  # a tied head is one with the embedding, and counted once
    trainable = parameters if lora_rank is None else lora_rank * _adapter_width(empty)
    computed = _BFLOAT16 if bfloat16 else _FLOAT32
    held = computed if lora_rank is not None else _FLOAT32
    text = config.get_text_config()
    return ModelSize(
        parameters=parameters + (0 if lora_rank is None else trainable),
        trainable=trainable,
        weight_bytes=parameters * held + (0 if lora_rank is None else trainable * _FLOAT32),
        cast_bytes=parameters * computed if computed != held else 0,
        value_bytes=computed,
        cache=_cache(text),
        saved_bytes=_saved_bytes(text, bfloat16, lora_rank is not None, checkpointing),
        vocabulary=text.vocab_size,
        sampled_together=sampled,
        trained_together=tokens,
        logits_together=logits,
    )


def _adapter_width(model: Any) -> int:
    """Inputs plus outputs of all linear layers but the head: an adapter of rank r has r times that many parameters."""
    import torch

    head = model.get_output_embeddings()
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    return sum(layer.in_features + layer.out_features for layer in layers)


def _cache(text: Any) -> int:
    return 2 * int(text.num_hidden_layers) * _widths(text)[1]


def _widths(text: Any) -> tuple[int, int]:
    """Widths of the queries and of the keys (or values) of one layer; 0 without attention."""
    heads = int(getattr(text, "num_attention_heads", None) or 0)
    width = int(getattr(text, "head_dim", None) or text.hidden_size // max(1, heads))
    return heads * width, int(getattr(text, "num_key_value_heads", None) or heads) * width


def _saved_bytes(text: Any, bfloat16: bool, frozen: bool, checkpointing: bool) -> int:
    """Bytes per token that a Llama-like layer, as implemented in transformers, saves for the backward pass.

    Of the stream's width: its two sums and each before and behind its norm (4 bytes each, 6 of them with the norm's
    product), or under autocast a copy in bfloat16 for each of the five maps that read it. Of the queries' width three
    tensors, of the keys' some six, of the MLP's four. Measured on an H100 (docs/gpu.md): 0.5 B whole 0.96, 3 B with
    LoRA 1.05 of what this says in all. With checkpointing: the input of every layer, and one layer whole. Beside
    frozen weights the stream itself is in bfloat16.
    """
    hidden, (queries, keys) = int(text.hidden_size), _widths(text)
    computed = _BFLOAT16 if bfloat16 else _FLOAT32
    stream = 4 * _FLOAT32 + 5 * _BFLOAT16 if bfloat16 else 6 * _FLOAT32
    layer = stream * hidden + computed * (3 * queries + 6 * keys + 4 * _mlp(text))
    between = _BFLOAT16 if bfloat16 and frozen else _FLOAT32
    layers = int(text.num_hidden_layers)
    return layers * between * hidden + layer if checkpointing else layers * layer


def _mlp(text: Any) -> int:
    """The MLP's width; with a mixture of experts that of those that see a token."""
    one = int(getattr(text, "intermediate_size", None) or 4 * text.hidden_size)
    several = int(getattr(text, "num_experts_per_tok", None) or 0)
    return several * int(getattr(text, "moe_intermediate_size", None) or one) if several else one
