"""The engines that a configuration can name. Their code, and torch with it, is imported when one is created."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from crestfall.core.errors import ConfigError
from crestfall.core.extras import require
from crestfall.core.registry import register
from crestfall.testbed.engines.base import Engine
from crestfall.testbed.updates.base import UpdateRule

if TYPE_CHECKING:
    from crestfall.testbed.config import RunConfig


@register("engine", "native")
@dataclass(frozen=True)
class Native:
    """The reference: readable, deterministic, one device."""

    name: ClassVar[str]

    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """CPU threads of torch. Another number rounds sums differently, so it is part of the run's configuration. With 1,
    as many chains as there are cores run in parallel at full speed."""

    measured: Annotated[int, Field(ge=1)] = 4
    """Number of samples per group on which KL to base and start, and the baseline's drift, are measured. These signals
    decide nothing (except the coefficient of an adaptive penalty); on all samples they would cost as much as the
    update."""

    def check(self, config: RunConfig) -> None:
        """Raises MissingExtraError without torch, ConfigError for an update that is no rule of crestfall's."""
        require("torch")
        check_rule(config)

    def create(self, config: RunConfig) -> Engine:
        from crestfall.testbed.engines.native import NativeEngine

        return NativeEngine.create(config, threads=self.threads, measured=self.measured)


def check_rule(config: RunConfig) -> None:
    """Raises ConfigError for an update that does not derive from `UpdateRule`."""
    if not isinstance(config.update, UpdateRule):
        name = config.update.name
        raise ConfigError(
            f"engine {config.engine.name} takes rules that derive from UpdateRule; update {name!r} does not"
        )
