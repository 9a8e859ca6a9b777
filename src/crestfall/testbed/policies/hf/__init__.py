"""A causal language model of transformers as a policy: from the hub or a directory, GGUF too, whole or with LoRA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from crestfall.core.extras import require
from crestfall.core.registry import register
from crestfall.testbed.policies.hf.options import HfOptions, Lora

if TYPE_CHECKING:
    from crestfall.testbed.config import RunConfig
    from crestfall.testbed.policies.hf.policy import LoadedHf
    from crestfall.testbed.policies.size import ModelSize
__all__ = ["HfPolicy", "Lora"]


@register("policy", "hf")
@dataclass(frozen=True)
class HfPolicy(HfOptions):
    """Any causal language model of transformers, by name or path. Its settings in generation_config are not used:
    sampling, scoring and training are crestfall's own code."""

    name: ClassVar[str]

    def check(self, config: RunConfig) -> None:
        """Model and tokenizer by their configuration; weights are read when the run begins. Raises as `load` does."""
        require("torch", "transformers", *(["peft"] if self.lora else []), *(["gguf"] if self.gguf_file else []))
        from crestfall.testbed.policies.hf.load import check

        check(self)

    def load(self) -> LoadedHf:
        """Raises InputError where there is no such model, MissingExtraError without transformers."""
        from crestfall.testbed.policies.hf.load import load

        return load(self)

    def model_size(self) -> ModelSize:
        """By the model's configuration alone: no weight is read, or downloaded."""
        from crestfall.testbed.policies.hf.model import LOGITS_PER_CHUNK
        from crestfall.testbed.policies.size import of_transformers

        return of_transformers(
            self.model,
            revision=self.revision,
            gguf_file=self.gguf_file,
            lora_rank=None if self.lora is None else self.lora.rank,
            bfloat16=self.dtype == "bfloat16",
            tokens=self.tokens_per_microbatch,
            sampled=self.sampled_tokens or self.tokens_per_microbatch,
            logits=LOGITS_PER_CHUNK,
            checkpointing=self.gradient_checkpointing,
        )
