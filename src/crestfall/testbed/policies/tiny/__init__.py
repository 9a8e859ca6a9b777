"""The embedded policy: a transformer of some 0.35 M parameters that writes real Python. Runs on any CPU."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from crestfall.core.errors import ConfigError
from crestfall.core.extras import require
from crestfall.core.registry import register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crestfall.core.types import Problem
    from crestfall.testbed.config import RunConfig
    from crestfall.testbed.policies.size import ModelSize
    from crestfall.testbed.policies.tiny.policy import LoadedTiny


@register("policy", "tiny")
@dataclass(frozen=True)
class TinyPolicy:
    """A small transformer that writes list, text and number programs; warm-started weights ship with the package."""

    name: ClassVar[str]

    weights: Literal["skill"] | Path | None = None
    """A file of weights made by `make warmstart`. None: those of the demo, which ship with the package and know three
    ways to give an answer. `skill`: the others that ship, which end every program with `return` (docs/skill.md)."""

    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 64
    """Token limit of a completion. The longest reference of three stages has 47 tokens."""

    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Device of sampling and training; `auto` is CUDA if there is a GPU. The shipped weights are faster on a CPU."""

    def check(self, config: RunConfig) -> None:
        """Raises InputError where the file holds no tiny policy, ConfigError for problems in words that it has not."""
        require("torch", "safetensors")
        from crestfall.testbed.policies.tiny.weights import vocabulary

        if self.device != "cpu":
            from crestfall.testbed.policies.device import torch_device

            torch_device(self.device)
        known = set(vocabulary(self._file))
        for problem in _foreign(config):
            odd = next((word for word in problem.prompt.split() if word not in known), None)
            if odd is not None:
                raise ConfigError(
                    f"policy tiny reads the builtin problems and no other text: it has no word {odd!r} "
                    f"({problem.task_id}); use policy.name=hf policy.model=..."
                )

    def load(self) -> LoadedTiny:
        """Raises InputError where the file holds no tiny policy, ConfigError where there is no such device."""
        from crestfall.testbed.policies.device import torch_device
        from crestfall.testbed.policies.tiny.policy import LoadedTiny

        loaded = LoadedTiny.read(self._file)
        loaded.model.to(torch_device(self.device))
        return loaded

    def model_size(self) -> ModelSize:
        """Size of the model, from the file's header. Raises InputError as `load` does."""
        from crestfall.testbed.policies.tiny.policy import size_of

        return size_of(self._file, self.max_tokens)

    @property
    def _file(self) -> Path:
        shipped = Path(str(resources.files(__package__)))
        match self.weights:
            case None:
                return shipped / "weights.safetensors"
            case "skill":
                return shipped / "skill.safetensors"
            case path:
                return path


def _foreign(config: RunConfig) -> Sequence[Problem]:
    """Problems of other sources than the one whose words the vocabulary is made of."""
    if config.tasks.name == "builtin":
        return ()
    sets = config.sets(0)
    return [*config.tasks.final(config.chain.final), *sets.train, *sets.select, *sets.report]
