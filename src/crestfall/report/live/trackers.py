"""The trackers that a run can be told to (`crestfall run --track NAME`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crestfall.report.live.accelerated import PACKAGES, AccelerateSink
from crestfall.report.live.tolerant import Tolerant
from crestfall.store.events import Sink

NAMES = ("tensorboard", "wandb", "trackio", *PACKAGES)


def trackers(
    names: Iterable[str], out: Path, config: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]
) -> list[Sink]:
    """Sinks for a run in `out`, whose first events are `earlier`. One that fails later is left out and ends nothing.

    Raises:
        MissingExtraError, ConfigError: the tracker's package is not installed.
    """
    return [Tolerant(_tracker(name, out, config, earlier), name) for name in dict.fromkeys(names)]


def _tracker(name: str, out: Path, config: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> Sink:
    if name in PACKAGES:
        return AccelerateSink(name, out, config, earlier)
    if name == "tensorboard":
        from crestfall.report.live.tensorboard import TensorBoardSink

        return TensorBoardSink(out / "tensorboard", earlier)
    if name == "wandb":
        from crestfall.report.live.wandb import WandbSink

        return WandbSink(out, config, name=out.name, earlier=earlier)
    from crestfall.report.live.trackio import TrackioSink

    return TrackioSink(out.name, config, earlier=earlier)
