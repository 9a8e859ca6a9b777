"""A run in Weights & Biases. Where it is sent to (or kept: `WANDB_MODE=offline`) is W&B's own configuration."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from crestfall.core.errors import ConfigError, MissingExtraError
from crestfall.report.live.axis import Point, PointSink
from crestfall.store.files import write_atomic

_TITLE = 63
"""W&B's limit on the title of an alert."""


def check_key() -> None:
    """Raises ConfigError where a run would be sent to W&B and there is no key to send it with."""
    import wandb

    if os.environ.get("WANDB_MODE", "online") in ("offline", "disabled", "dryrun"):
        return
    if "prompt" in inspect.signature(wandb.login).parameters and not sys.stdin.isatty():
        try:
            known = wandb.login(prompt=False)
        except Exception as error:  # its errors have no root in common with others
            raise ConfigError(f"--track wandb: {' '.join(str(error).split())[:200]}") from None
        if not known:
            raise ConfigError("--track wandb: no API key: `wandb login`, or WANDB_API_KEY, or WANDB_MODE=offline")


class WandbSink(PointSink):
    """One W&B run per run directory; its id is kept there, so that a resumed run goes on in the same one."""

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, Any],
        *,
        project: str = "crestfall",
        name: str | None = None,
        mode: Literal["online", "offline", "disabled"] | None = None,
        earlier: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        try:
            import wandb
        except ImportError:
            raise MissingExtraError("wandb", "trackers") from None
        stored = directory / "wandb_id"
        known = stored.read_text(encoding="utf-8").strip() if stored.exists() else None
        self._run = wandb.init(
            project=project, name=name, id=known, resume="allow", config=dict(config), dir=str(directory), mode=mode
        )
        if known is None:
            write_atomic(stored, f"{self._run.id}\n")
        super().__init__(earlier)

    def log(self, point: Point) -> None:
        self._run.log(dict(point.values), step=point.position)
        if point.notice:
            self._run.alert(title=point.notice[:_TITLE], text=point.notice)

    def close(self) -> None:
        self._run.finish()
