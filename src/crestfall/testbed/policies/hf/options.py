"""The options of the `hf` policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters beside frozen weights (Hu et al. 2021), by peft. No dropout: the policy that is differentiated
    is the one that was sampled from."""

    rank: Count = 16
    """Rank of each adapter. For RL's small signal, ranks far below those of supervised fine-tuning do."""
    alpha: Annotated[float, Field(gt=0)] = 32.0
    """The adapter's product is multiplied by alpha / rank."""
    targets: str | tuple[str, ...] = "all-linear"
    """Names of the modules that get one; `all-linear` is every linear layer but the output head."""


@dataclass(frozen=True)
class HfOptions:
    """Options of the model, its prompts and its limits."""

    model: str
    """A name on the Hugging Face hub, or a directory."""
    gguf_file: str | None = None
    """File in GGUF format in the model's repository or directory; its weights are dequantised. None: the safetensors
    files are read."""
    revision: str | None = None
    """Branch, tag or commit on the hub. Give a commit to make a run repeatable."""
    tokenizer: str | None = None
    """Name or directory of the tokenizer. None: the model's own."""
    max_tokens: Count = 512
    """Token limit of a completion. A completion that reaches it is cut off and counted as truncated."""
    prompt: Literal["auto", "chat", "plain"] = "auto"
    """`chat`: the problem's prompt as a user's message in the model's chat template, and the program is the code block
    of the answer. `plain`: the prompt as it stands, with the problem's stub last, which the model continues. `auto`:
    chat where the tokenizer has a template."""
    prefill: str = ""
    """Text that every answer begins with. It is put at the start of the model's turn of the chat (plain:
    after the prompt), is graded as part of the answer and is not trained on. `{stub}` is the problem's stub. A model
    that has to be asked for code is so asked for nothing else, and what is learned is not the form of an answer."""
    stop: tuple[str, ...] = ()
    """Texts at which a completion ends, in addition to the model's end tokens and the problem source's own texts. The
    text itself is cut off."""
    lora: Lora | None = None
    """Low-rank adapters (`policy.lora.rank=16`), with the model's own weights frozen. None: all weights are trained."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the computation. With bfloat16, frozen weights are stored in it too. Trained weights stay
    float32, because bfloat16 rounds a step of 1e-6 away."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: CUDA where there is any."""
    tokens_per_microbatch: Count = 16384
    """Number of tokens, padding included, in one forward and backward pass. Memory grows with it; results do not depend
    on it beyond rounding. A single sequence is never split."""
    sampled_tokens: Count | None = None
    """Number of tokens, padding included, that are sampled at a time. None: as many as in a microbatch. Sampling needs
    about a hundredth of the memory of training per token, and a GPU takes equally long for few and for many."""
    gradient_checkpointing: bool = False
    """Recompute each layer in the backward pass: less memory, about a third more time."""
