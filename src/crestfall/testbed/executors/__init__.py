"""Executors, which run the runs of a study: one module per executor, chosen by `--executor`."""

from __future__ import annotations

from crestfall.core.errors import ConfigError
from crestfall.core.extras import require
from crestfall.testbed.study import Executor

EXECUTORS = ("local", "ray")


def check_executor(name: str, gpus_per_cell: float = 0) -> None:
    """Make the checks of `executor` that need no cluster. Raises as it does."""
    if name == "ray":
        require("ray")
    elif gpus_per_cell:
        raise ConfigError("--gpus-per-cell: local cells share what CUDA_VISIBLE_DEVICES names; use --executor ray")


def executor(name: str, gpus_per_cell: float = 0) -> Executor:
    """Raises ConfigError for GPUs that cannot be handed out, MissingExtraError for Ray where it is not installed."""
    check_executor(name, gpus_per_cell)
    if name == "ray":
        from crestfall.testbed.executors.ray import RayExecutor

        return RayExecutor.connect(gpus_per_cell)
    from crestfall.testbed.executors.local import LocalExecutor

    return LocalExecutor()
