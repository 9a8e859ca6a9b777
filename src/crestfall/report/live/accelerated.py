"""A run in MLflow, Comet or SwanLab, through accelerate's trackers.

W&B, trackio and TensorBoard have sinks of their own for two reasons: their alerts and resumed runs, and because
accelerate's trackers need accelerate's process state. That state drags torch in, and in the first of several processes
it would wait for the others, who do not track.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from crestfall.core.errors import ConfigError, MissingExtraError
from crestfall.core.extras import EXTRA_OF
from crestfall.report.live.axis import Point, PointSink
from crestfall.store.files import write_atomic

PROJECT = "crestfall"
PACKAGES = {"mlflow": "mlflow-skinny", "comet_ml": "comet-ml", "swanlab": "swanlab"}
"""Names of accelerate's trackers, and the package that each needs."""


def check_package(name: str) -> None:
    """Raises ConfigError, MissingExtraError as `AccelerateSink` does."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(f"--track {name}: runs of one process only; use wandb, trackio or tensorboard")
    try:
        from accelerate.tracking import LoggerType, get_available_trackers
    except ImportError:
        raise MissingExtraError("accelerate", "hf") from None
    if LoggerType(name) not in get_available_trackers():
        if name in EXTRA_OF:
            raise MissingExtraError(name, EXTRA_OF[name])
        raise ConfigError(f"--track {name}: not installed: pip install {PACKAGES[name]}")


class AccelerateSink(PointSink):
    """One run of the tracker per run directory. MLflow's id is kept there, so that a resumed run goes on in the same
    one; the others begin another.

    Raises:
        ConfigError: one of several processes, or the tracker's package is not installed.
        MissingExtraError: accelerate is not installed.
    """

    def __init__(
        self, name: str, directory: Path, config: Mapping[str, Any], earlier: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        check_package(name)
        from accelerate import PartialState
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        PartialState(cpu=True)  # their logger demands it; where an engine has set it up already, this changes nothing
        stored = directory / f"{name}_id"
        options: dict[str, Any] = {"experiment_name": directory.name} if name == "comet_ml" else {}
        if name == "mlflow":
            known = stored.read_text(encoding="utf-8").strip() if stored.exists() else None
            options = {"run_name": directory.name, "run_id": known}
        self._tracker = LOGGER_TYPE_TO_CLASS[name](PROJECT, **options)
        self._tracker.start()
        if name == "mlflow" and options["run_id"] is None:
            write_atomic(stored, f"{self._tracker.tracker.info.run_id}\n")
            self._tracker.store_init_configuration(dict(_flat(config)))
        super().__init__(earlier)

    def log(self, point: Point) -> None:
        self._tracker.log(dict(point.values), step=point.position)

    def close(self) -> None:
        self._tracker.finish()


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, str(value)[:250]
