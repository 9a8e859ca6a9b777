"""Where the cells of a study run: one module per executor, chosen by `--executor`."""

from __future__ import annotations

from crestfall.errors import ConfigError
from crestfall.study import Executor

EXECUTORS = ("local", "ray")


def executor(name: str) -> Executor:
    """Raises ConfigError for one that is not there."""
    if name == "local":
        from crestfall.executors.local import LocalExecutor

        return LocalExecutor()
    raise ConfigError(f"--executor {name}: not available; available: local")
