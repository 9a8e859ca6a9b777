"""Cells on a Ray cluster (extra `ray`): each is an actor that runs the process which the local executor would run.

Run directories are the only bridge: every node has to see the study's directory, and the working directory of the
study, under the same path (a shared file system). A worker that dies, or its node, is replaced, and the cell goes on
from its last commit; the process that the dead worker left behind ends by itself after the step in flight.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from crestfall.core.errors import ConfigError, MissingExtraError
from crestfall.testbed.config import resolved
from crestfall.testbed.executors.local import LocalJob, launch
from crestfall.testbed.study import STOPPED, Cell

RETRIES = 3
"""Workers that a cell may lose; a cell that fails by itself is not tried again, here as locally."""
LOST = -int(signal.SIGKILL)
"""Exit code of a cell whose workers have all died."""
_PATIENCE = 5.0


class CellActor:
    """Lives in a Ray worker, beside the cell's process. `run` waits; the others come in while it does."""

    def __init__(self) -> None:
        self._job: LocalJob | None = None
        self._asked = False

    def ready(self) -> bool:
        return True

    def run(self, path: str, log: str, options: Mapping[str, Any], cwd: str) -> int:
        process = launch(Path(path), Path(log), options, cwd)
        self._job = LocalJob(process)
        if self._asked:
            self._job.ask_to_stop()
        return process.wait()

    def stop(self) -> None:
        self._asked = True
        if self._job is not None:
            self._job.ask_to_stop()

    def kill(self) -> None:
        if self._job is not None and self._job.poll() is None:
            self._job.kill()


class RayExecutor:
    """A connection to a cluster. Each cell takes one CPU and `gpus_per_cell` GPUs, which it alone sees."""

    def __init__(self, ray: Any, gpus_per_cell: float) -> None:
        self._ray, self._gpus = ray, gpus_per_cell
        self._actor = ray.remote(CellActor).options(
            num_cpus=1, num_gpus=gpus_per_cell, max_concurrency=2, max_restarts=RETRIES, max_task_retries=RETRIES
        )

    @classmethod
    def connect(cls, gpus_per_cell: float = 0) -> RayExecutor:
        """To the cluster that RAY_ADDRESS names, else to one that was started on this machine, else to a new one here.

        Raises:
            MissingExtraError: Ray is not installed.
            ConfigError: no cluster there, or one without room for a single cell.
        """
        try:
            import ray
        except ImportError:
            raise MissingExtraError("ray", "ray") from None
        if not ray.is_initialized():
            try:
                ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise ConfigError(f"--executor ray: no cluster: {' '.join(str(error).split())[:200]}") from None
        executor = cls(ray, gpus_per_cell)
        if executor.capacity() < 1:
            has = {name: count for name, count in ray.cluster_resources().items() if name in ("CPU", "GPU")}
            raise ConfigError(f"--gpus-per-cell {gpus_per_cell:g}: the Ray cluster has no room for a cell: {has}")
        return executor

    def capacity(self) -> int:
        """Cells that the cluster, as it is now, has room for. An autoscaling one grows with what is asked of it: give
        `--workers`."""
        has = self._ray.cluster_resources()
        cpus = int(has.get("CPU", 0))
        return min(cpus, int(has.get("GPU", 0) / self._gpus)) if self._gpus else cpus

    def start(self, cell: Cell) -> RayJob:
        return RayJob(self._ray, self._actor.remote(), cell)


class RayJob:
    def __init__(self, ray: Any, actor: Any, cell: Cell) -> None:
        self._ray, self._actor = ray, actor
        self._code: int | None = None
        self._ready = actor.ready.remote()
        paths = str(cell.path.resolve()), str(cell.log.resolve())
        self._done = actor.run.remote(*paths, resolved(cell.config), os.getcwd())

    def poll(self) -> int | None:
        if self._code is None and self._is_there(self._done):
            try:
                self._code = int(self._ray.get(self._done))
            except self._ray.exceptions.RayError:
                self._code = LOST
            self._ray.kill(self._actor)  # makes room at once
        return self._code

    def ask_to_stop(self) -> None:
        if self._is_there(self._ready):
            self._actor.stop.remote()
        else:  # still waiting for a place: there is nothing to save
            self._ray.kill(self._actor)
            self._code = STOPPED

    def kill(self) -> None:
        with suppress(self._ray.exceptions.RayError):
            if self._is_there(self._ready):
                self._ray.get(self._actor.kill.remote(), timeout=_PATIENCE)
        self._ray.kill(self._actor)

    def _is_there(self, reference: Any) -> bool:
        return bool(self._ray.wait([reference], timeout=0)[0])
