"""A run that a launcher (`accelerate launch`, `torchrun`) has started in several processes.

The first one is `crestfall run`: it has the run directory, the view and the report. The others only lend their engine a
hand, and say nothing.
"""

from __future__ import annotations

import os

from crestfall.cli.common import StopRequest
from crestfall.core.errors import ConfigError
from crestfall.testbed.config import RunConfig


def serve(config: RunConfig) -> bool:
    """Do this process's part of a distributed run if it is not rank 0. Returns whether it was. Raises ConfigError."""
    if processes() == 1:
        return False
    if not hasattr(config.engine, "serve"):
        raise ConfigError(f"engine {config.engine.name!r} runs in one process, not in {processes()}: use engine trl")
    if int(os.environ["RANK"]) == 0:
        return False
    # Launchers send signals to all. The first process finishes its step, and then lets the others go.
    with StopRequest(tell=False):
        config.engine.serve(config)
    return True


def dismiss(config: RunConfig) -> None:
    """Release the other processes; called in the first process when it has nothing to run."""
    if processes() > 1:
        config.engine.dismiss(config)  # type: ignore[attr-defined]


def processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1
