"""A run in Weights & Biases. Where it is sent to (or kept: `WANDB_MODE=offline`) is W&B's own configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from crestfall.core.errors import MissingExtraError
from crestfall.report.live.axis import StepAxis
from crestfall.store.files import write_atomic

_TITLE = 63
"""W&B's limit on the title of an alert."""


class WandbSink:
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
        self._axis = StepAxis(earlier)

    def event(self, event: Mapping[str, Any]) -> None:
        point = self._axis.point(event)
        if point is None:
            return
        self._run.log(dict(point.values), step=point.position)
        if point.notice:
            self._run.alert(title=point.notice[:_TITLE], text=point.notice)

    def close(self) -> None:
        self._run.finish()
