"""How large a policy is, without loading its weights: what a dry run computes memory and disk from."""

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
    """Of all weights as they are held."""
    cast_bytes: int
    """Of the copies of the weights in the type that is computed in, where that is another."""
    value_bytes: int
    """Of one activation, key or value."""
    cache: int
    """Keys and values of one token in all layers; layers that look back a bounded way only are counted as full ones."""
    saved: int
    """Activations that the backward pass needs of one token, by the usual rule of thumb."""
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
        saved=_saved(text, checkpointing),
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
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return int(2 * text.num_hidden_layers * heads * width)


def _saved(text: Any, checkpointing: bool) -> int:
    """Korthikanti et al. 2022 count 34 bytes, 17 values, per token and hidden unit of a 16-bit layer with a fourfold
    MLP, attention scores not stored; here the MLP's share follows its own width, and a gated one has three parts. With
    checkpointing: the input of every layer, and one layer whole."""
    hidden = int(text.hidden_size)
    layer = 9 * hidden + 3 * int(getattr(text, "intermediate_size", None) or 4 * hidden)
    layers = int(text.num_hidden_layers)
    return layers * hidden + layer if checkpointing else layers * layer
