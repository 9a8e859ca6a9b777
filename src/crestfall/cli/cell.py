"""`python -m crestfall.cli.cell DIR PARENT`: one cell of a study, started by it, with its resolved configuration on
stdin.

Prints to a log file. Stops after the step in flight when it is asked to, or when process PARENT, the study, is gone.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from crestfall.cli.common import StopRequest, provenance_of
from crestfall.core.entry import guarded
from crestfall.core.errors import ConfigError
from crestfall.testbed.config import run_config
from crestfall.testbed.session import train

# A cell of a study that was killed may still be finishing its step.
_PATIENCE = 120.0


def main() -> int:
    try:
        path, parent = Path(sys.argv[1]), int(sys.argv[2])
        config = run_config(json.load(sys.stdin))
    except (IndexError, ValueError):
        raise ConfigError("only crestfall study starts this program; use crestfall run to run a chain") from None
    with StopRequest() as asked:
        command = ["study", config.method, str(config.seed)]
        train(
            config,
            path,
            provenance_of(config, command),
            should_stop=lambda: asked() or os.getppid() != parent,
            patience=_PATIENCE,
        )
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
