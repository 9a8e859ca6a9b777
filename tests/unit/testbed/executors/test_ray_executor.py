"""The Ray executor against a Ray of a few lines: room, cells that wait for a place, workers that are lost."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import fakes
from crestfall.core.errors import ConfigError, MissingExtraError
from crestfall.testbed.config import study_config
from crestfall.testbed.executors import executor
from crestfall.testbed.executors.ray import LOST, RayExecutor
from crestfall.testbed.study import STOPPED, Cell, cells_of


class FakeRay:
    """References are method names; `there` are those that can be had."""

    class exceptions:
        class RayError(Exception): ...

    def __init__(self, **resources: float) -> None:
        self.resources, self.there, self.value = resources, {"ready"}, 0
        self.called: list[str] = []
        self.killed = False

    def is_initialized(self) -> bool:
        return True

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def remote(self, cls: Any) -> Any:
        return SimpleNamespace(options=lambda **options: self._record(options))

    def _record(self, options: Any) -> Any:
        self.options = options
        return SimpleNamespace(remote=self._actor)

    def _actor(self) -> Any:
        def method(name: str) -> Any:
            def remote(*_: Any) -> str:
                self.called.append(name)
                return name

            return SimpleNamespace(remote=remote)

        return SimpleNamespace(**{name: method(name) for name in ("ready", "run", "stop", "kill")})

    def wait(self, references: list[str], timeout: float) -> tuple[list[str], list[str]]:
        return [r for r in references if r in self.there], []

    def get(self, reference: str, timeout: float | None = None) -> int:
        if self.value is None:
            raise self.exceptions.RayError
        return self.value

    def kill(self, actor: Any) -> None:
        self.killed = True


def cell() -> Cell:
    return cells_of(study_config(fakes.options(seeds=[0], methods={"naive": {}})), Path("out"))[0]


def test_one_gpu_per_cell() -> None:
    ray = FakeRay(CPU=16, GPU=3)
    assert RayExecutor(ray, 1).capacity() == 3
    assert ray.options["num_gpus"] == 1
    assert ray.options["max_restarts"] == ray.options["max_task_retries"] > 0
    assert RayExecutor(ray, 0.5).capacity() == 6
    assert RayExecutor(ray, 0).capacity() == 16


def test_a_cluster_without_room_for_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", FakeRay(CPU=2))
    with pytest.raises(ConfigError, match=r"--gpus-per-cell 1: the Ray cluster has no room for a cell: \{'CPU': 2\}"):
        executor("ray", 1)
    with pytest.raises(ConfigError, match="use --executor ray"):
        executor("local", 1)


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "ray":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"ray is not installed: pip install 'crestfall\[ray\]'"):
        executor("ray")


def test_a_finished_cell_makes_room_and_a_lost_one_is_said_to_be_killed() -> None:
    for value, code in ((0, 0), (2, 2), (None, LOST)):
        ray = FakeRay(CPU=1)
        job = RayExecutor(ray, 0).start(cell())
        assert job.poll() is None
        ray.there.add("run")
        ray.value = value  # type: ignore[assignment]
        assert job.poll() == code
        assert ray.killed


def test_a_cell_that_waits_for_a_place_is_stopped_at_once_and_one_at_work_is_asked() -> None:
    ray = FakeRay(CPU=1)
    job = RayExecutor(ray, 0).start(cell())
    job.ask_to_stop()
    assert ray.called[-1] == "stop"
    assert not ray.killed
    ray.there.clear()
    waiting = RayExecutor(ray, 0).start(cell())
    waiting.ask_to_stop()
    assert ray.killed
    assert waiting.poll() == STOPPED
