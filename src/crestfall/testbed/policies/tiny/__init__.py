"""The embedded policy: a transformer of some 0.35 M parameters that writes real Python. Runs on any CPU."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from crestfall.core.registry import register

if TYPE_CHECKING:
    from crestfall.testbed.policies.size import ModelSize
    from crestfall.testbed.policies.tiny.policy import LoadedTiny


@register("policy", "tiny")
@dataclass(frozen=True)
class TinyPolicy:
    """A small transformer that writes list, text and number programs; warm-started weights ship with the package."""

    name: ClassVar[str]

    weights: Path | None = None
    """Weights made by `make warmstart`; none: those that ship with the package."""

    max_tokens: int = 64
    """A completion is cut off here. The longest reference of three stages has 47 tokens."""

    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where it is sampled and trained; `auto` is CUDA where there is any. The shipped weights are faster on a CPU."""

    def load(self) -> LoadedTiny:
        """Raises InputError where the file holds no tiny policy, ConfigError where there is no such device."""
        from crestfall.testbed.policies.device import torch_device
        from crestfall.testbed.policies.tiny.policy import LoadedTiny

        loaded = LoadedTiny.read(self._file)
        loaded.model.to(torch_device(self.device))
        return loaded

    def model_size(self) -> ModelSize:
        """From the file's header. Raises InputError as `load` does."""
        from crestfall.testbed.policies.tiny.policy import size_of

        return size_of(self._file, self.max_tokens)

    @property
    def _file(self) -> Path:
        return self.weights or Path(str(resources.files(__package__) / "weights.safetensors"))
