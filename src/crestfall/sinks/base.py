"""What a sink is: something that is told every event of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Sink(Protocol):
    def event(self, event: Mapping[str, Any]) -> None:
        """Take note of an event (docs/run_directory.md) that is safely in the run directory."""
        ...

    def close(self) -> None: ...
