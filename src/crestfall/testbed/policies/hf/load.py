"""Load weights and tokenizer by name or path."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from crestfall.core.errors import ConfigError, InputError
from crestfall.core.extras import require
from crestfall.core.rng import seed_of
from crestfall.testbed.hub import use_cache_where_unreachable
from crestfall.testbed.policies.device import torch_device
from crestfall.testbed.policies.hf.anatomy import Anatomy, anatomy
from crestfall.testbed.policies.hf.model import CausalLM
from crestfall.testbed.policies.hf.options import HfOptions, Lora
from crestfall.testbed.policies.hf.policy import LoadedHf
from crestfall.testbed.policies.hf.probe import probe
from crestfall.testbed.policies.hf.text import Text


def load(policy: HfOptions) -> LoadedHf:
    """Raises InputError, ConfigError, MissingExtraError."""
    require("transformers", *(["peft"] if policy.lora else []), *(["gguf"] if policy.gguf_file else []))
    device = torch_device(policy.device)
    tokenizer, model, parts = _read(policy)
    if policy.lora is not None:
        _add_adapters(model, policy.lora)
    if policy.gradient_checkpointing:
        # Called `gradient_...` before transformers 5.
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    model.eval().to(device)
    lm = CausalLM(model, parts, bfloat16=policy.dtype == "bfloat16", checkpointing=policy.gradient_checkpointing)
    probe(lm)
    text = Text.of(tokenizer, model, policy.prompt, policy.prefill, policy.stop)
    return LoadedHf(lm, text, policy.tokens_per_microbatch, policy.sampled_tokens)


@lru_cache(maxsize=8)
def check(policy: HfOptions) -> None:
    """Check, without reading weights, that there is a model of that name, with a tokenizer, and a device.
    Raises as `load` does. Once for all arms of a study that share the policy: the head of a GGUF takes seconds to read.
    """
    torch_device(policy.device)
    use_cache_where_unreachable()
    from transformers import AutoConfig, AutoTokenizer

    source = {"revision": policy.revision or "main", "gguf_file": policy.gguf_file}
    folder = Path(policy.model)
    try:
        AutoConfig.from_pretrained(policy.model, **source)
        AutoTokenizer.from_pretrained(policy.tokenizer or policy.model, **({} if policy.tokenizer else source))
    except ConfigError:
        raise
    except Exception as error:  # the readers' errors have no common root
        raise _unreadable(policy, error) from error
    weights = ("*.safetensors", "*.bin", "*.gguf")
    if folder.is_dir() and not any(next(folder.glob(pattern), None) for pattern in weights):
        raise InputError(f"policy.model: no weights in {policy.model} (expected {', '.join(weights)})")


def _unreadable(policy: HfOptions, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:300]
    way_out = "" if Path(policy.model).is_dir() else "; without a network: policy.model=DIRECTORY"
    return InputError(f"policy.model: cannot load {policy.model!r}: {type(error).__name__}: {reason}{way_out}")


def _read(policy: HfOptions) -> tuple[Any, Any, Anatomy]:
    """Tokenizer, model on the CPU, and what can be done with it, which is known before a weight is read."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    source = {"revision": policy.revision or "main", "gguf_file": policy.gguf_file}
    frozen = policy.lora is not None
    dtype = torch.bfloat16 if frozen and policy.dtype == "bfloat16" else torch.float32
    try:
        config = AutoConfig.from_pretrained(policy.model, **source)
        _without_dropout(config)
        parts = anatomy(config)
        model = AutoModelForCausalLM.from_pretrained(policy.model, config=config, dtype=dtype, **source)
        if policy.tokenizer is None:
            tokenizer = AutoTokenizer.from_pretrained(policy.model, **source)
        else:
            tokenizer = AutoTokenizer.from_pretrained(policy.tokenizer)
    except ConfigError:
        raise
    except Exception as error:  # the readers' errors have no common root
        raise _unreadable(policy, error) from error
    return tokenizer, model, parts


def _without_dropout(config: Any) -> None:
    """Gradient checkpointing needs training mode, which must not change what the model says or holds."""
    for part in (config, config.get_text_config()):
        for name, value in vars(part).items():
            if "drop" in name and isinstance(value, float):  # attention_dropout, resid_pdrop, layerdrop ...
                setattr(part, name, 0.0)
        if hasattr(part, "rescale_every"):  # RWKV would divide its weights in place, and multiply them in training mode
            part.rescale_every = 0


def _add_adapters(model: Any, lora: Lora) -> None:
    """In place. Their first values are a function of nothing but the model's shape; the global generator is left as it
    was."""
    from peft import LoraConfig, inject_adapter_in_model

    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=targets, task_type="CAUSAL_LM")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("lora"))
        try:
            inject_adapter_in_model(config, model)
        except ValueError as error:
            raise ConfigError(f"policy.lora.targets: {' '.join(str(error).split())[:300]}") from error
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
