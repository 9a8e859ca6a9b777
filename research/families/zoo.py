"""Small models of many families, built from their configurations on the spot. Random weights, a byte-level tokenizer.

What is said of a family is what makes it that family: experts, windows, latent attention, recurrent layers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from research.gpu_check.models import tokenizer

VOCABULARY = 300
COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
OLD: dict[str, Any] = {"vocab_size": VOCABULARY, "n_positions": 256, "n_embd": 32, "n_layer": 2, "n_head": 4}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
LINEAR = {
    "linear_num_value_heads": 2,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
LATENT = {
    "num_key_value_heads": 4,
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
}
DEEPSEEK = {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "moe_intermediate_size": 16}
MAMBA2 = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 8, "mamba_chunk_size": 16}

FAMILIES: dict[str, dict[str, Any]] = {
    "Llama": COMMON,
    "Mistral": COMMON | {"sliding_window": 16},
    "Ministral3": COMMON | {"head_dim": 8},
    "Qwen2": COMMON,
    "Qwen3": COMMON | {"head_dim": 8},
    "Gemma2": COMMON | {"head_dim": 8, "sliding_window": 16, "final_logit_softcapping": 3.0},
    "Gemma3:Gemma3TextConfig": COMMON | {"head_dim": 8, "sliding_window": 16},
    "Gemma3n:Gemma3nTextConfig": COMMON
    | {"head_dim": 8, "num_kv_shared_layers": 0, "vocab_size_per_layer_input": VOCABULARY},
    "Gemma4:Gemma4TextConfig": COMMON | {"head_dim": 8},
    "Phi": COMMON,
    "Phi3": COMMON,
    "SmolLM3": COMMON,
    "Granite": COMMON | {"logits_scaling": 2.0},
    "Glm4": COMMON | {"head_dim": 8},
    "Olmo2": COMMON,
    "Olmo3": COMMON | {"sliding_window": 16},
    "Starcoder2": COMMON,
    "Cohere2": COMMON | {"sliding_window": 16},
    "StableLm": COMMON,
    "Nemotron": COMMON,
    "Mixtral": COMMON | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "Qwen2Moe": COMMON | EXPERTS | {"shared_expert_intermediate_size": 16},
    "Qwen3Moe": COMMON | EXPERTS | {"head_dim": 8},
    "GptOss": COMMON
    | {"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16, "intermediate_size": 16},
    "DeepseekV3": COMMON | LATENT | DEEPSEEK | {"first_k_dense_replace": 1, "n_shared_experts": 1},
    "Glm4Moe": COMMON | DEEPSEEK | {"head_dim": 8},
    "Olmoe": COMMON | EXPERTS,
    "Qwen3Next": COMMON | EXPERTS | LINEAR | {"head_dim": 8, "shared_expert_intermediate_size": 16},
    "Qwen3_5:Qwen3_5TextConfig": COMMON | LINEAR | {"head_dim": 8},
    "Lfm2": COMMON | {"layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "Mamba": {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "state_size": 8,
        "use_mambapy": False,
    },
    "Mamba2": {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "state_size": 8,
        "num_heads": 8,
        "head_dim": 8,
        "n_groups": 1,
        "chunk_size": 16,
    },
    "FalconH1": COMMON | MAMBA2 | {"head_dim": 8, "mamba_d_ssm": 64},
    "Jamba": COMMON
    | {
        "num_experts": 2,
        "use_mamba_kernels": False,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "mamba_d_state": 8,
    },
    "RecurrentGemma": COMMON | {"lru_width": 32, "attention_window_size": 64, "num_key_value_heads": 1},
    "Rwkv": {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32},
    "GPT2:GPT2Config:GPT2LMHeadModel": OLD,
    "OPT": {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "ffn_dim": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
        "word_embed_proj_dim": 32,
    },
    "GPTNeoX": {k: v for k, v in COMMON.items() if k != "num_key_value_heads"},
    "GPTJ": OLD | {"rotary_dim": 4},
    "CodeGen": OLD | {"rotary_dim": 4},
    "GPTBigCode": OLD,
    "Bloom": {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    "Falcon": COMMON | {"new_decoder_architecture": False},
    "Mpt": {"vocab_size": VOCABULARY, "d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 256},
}


def save(name: str, directory: Path) -> str:
    """Build a family's model, save it with a tokenizer, and return the family's plain name.

    A key is `Family`, or `Family:Config class`, or `Family:Config class:Model class`, where they are not regular.
    """
    import transformers

    family, config, model = (*name.split(":"), "", "")[:3]
    options = getattr(transformers, config or f"{family}Config")(
        **({"pad_token_id": 0, "eos_token_id": 2, "bos_token_id": 1} | FAMILIES[name])
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = getattr(transformers, model or f"{family}ForCausalLM")(options)
        with torch.no_grad():
            for parameter in made.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(4.0)  # so that samples differ in probability
    made.save_pretrained(directory)
    made_tokenizer = tokenizer(VOCABULARY)
    made_tokenizer.chat_template = None
    made_tokenizer.save_pretrained(directory)
    return family
