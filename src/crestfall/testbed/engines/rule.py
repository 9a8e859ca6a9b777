"""What every engine of crestfall's asks of the update rule that it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crestfall.core.errors import ConfigError
from crestfall.testbed.updates.base import UpdateRule

if TYPE_CHECKING:
    from crestfall.testbed.config import RunConfig


def check_rule(config: RunConfig) -> None:
    """Raises ConfigError for an update that does not derive from `UpdateRule`."""
    if not isinstance(config.update, UpdateRule):
        name = config.update.name
        raise ConfigError(
            f"engine {config.engine.name} takes rules that derive from UpdateRule; update {name!r} does not"
        )
