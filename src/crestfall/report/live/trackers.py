"""The trackers that a run can be told to (`crestfall run --track NAME`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crestfall.core.errors import ConfigError, CrestfallError
from crestfall.core.extras import require
from crestfall.report.live.accelerated import PACKAGES, AccelerateSink, check_package
from crestfall.report.live.tolerant import Tolerant
from crestfall.store.events import Sink

NAMES = ("tensorboard", "wandb", "trackio", *PACKAGES)


def check_trackers(names: Iterable[str]) -> None:
    """Raises MissingExtraError or ConfigError where a tracker's package is not installed, ConfigError for one that has
    no key."""
    for name in names:
        if name in PACKAGES:
            check_package(name)
        else:
            require(name)
        if name == "wandb":
            from crestfall.report.live.wandb import check_key

            check_key()


def trackers(
    names: Iterable[str], out: Path, config: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]
) -> list[Sink]:
    """Sinks for a run in `out`, whose first events are `earlier`. One that fails later is left out and ends nothing.

    Raises:
        MissingExtraError: the tracker's package is not installed.
        ConfigError: the tracker cannot be started (no key, no network).
    """
    return [Tolerant(_started(name, out, config, earlier), name) for name in dict.fromkeys(names)]


def _started(name: str, out: Path, config: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> Sink:
    try:
        return _tracker(name, out, config, earlier)
    except CrestfallError:
        raise
    except Exception as error:  # the trackers' errors have no common root
        raise ConfigError(f"--track {name}: {' '.join(str(error).split())[:300]}") from error


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
