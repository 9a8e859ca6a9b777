"""The tiny policy as a transformers model: the same weights and the same function.

Arcee is Llama with the ungated squared-ReLU MLP that the tiny policy has, so the conversion is a renaming. A sequence
is the spec, `<code>`, and the completion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from crestfall.core.errors import MissingExtraError
from crestfall.testbed.policies.tiny.policy import LoadedTiny
from crestfall.testbed.policies.tiny.tokenizer import EOS, PAD, Tokenizer

if TYPE_CHECKING:
    from crestfall.core.types import Problem


def to_transformers(policy: LoadedTiny) -> Any:
    """An `ArceeForCausalLM` with a copy of the policy's weights. Raises MissingExtraError without transformers."""
    try:
        from transformers import ArceeConfig, ArceeForCausalLM
    except ImportError as error:
        raise MissingExtraError("transformers", "hf") from error
    shape = policy.model.shape
    config = ArceeConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=4 * shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=shape.positions,
        rms_norm_eps=torch.finfo(torch.float32).eps,
        tie_word_embeddings=True,
        hidden_act="relu2",
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        bos_token_id=None,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )
    model = ArceeForCausalLM(config)
    weights = {"model.embed_tokens.weight": policy.model.embed.weight, "model.norm.weight": policy.model.norm.weight}
    for i, block in enumerate(policy.model.blocks):
        q, k, v = block.qkv.weight.chunk(3)
        weights |= {
            f"model.layers.{i}.self_attn.q_proj.weight": q,
            f"model.layers.{i}.self_attn.k_proj.weight": k,
            f"model.layers.{i}.self_attn.v_proj.weight": v,
            f"model.layers.{i}.self_attn.o_proj.weight": block.out.weight,
            f"model.layers.{i}.mlp.up_proj.weight": block.up.weight,
            f"model.layers.{i}.mlp.down_proj.weight": block.down.weight,
            f"model.layers.{i}.input_layernorm.weight": block.norm_attention.weight,
            f"model.layers.{i}.post_attention_layernorm.weight": block.norm_mlp.weight,
        }
    weights["lm_head.weight"] = policy.model.embed.weight
    model.load_state_dict({name: weight.detach().clone() for name, weight in weights.items()}, strict=True)
    return model


def to_tokenizer(tokenizer: Tokenizer) -> Any:
    """A transformers tokenizer that reads specs (and `<code>`) and writes programs."""
    from tokenizers import Tokenizer as Fast
    from tokenizers import decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    fast = Fast(models.WordLevel({token: i for i, token in enumerate(tokenizer.vocabulary)}, unk_token="<pad>"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=fast, pad_token="<pad>", eos_token="<eos>", additional_special_tokens=["<code>"]
    )


def prompt_text(problem: Problem) -> str:
    """A problem's prompt as the converted model reads it."""
    return f"{problem.prompt} <code>"
