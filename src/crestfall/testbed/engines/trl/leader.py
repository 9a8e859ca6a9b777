"""One rank leads, the others follow.

Only the first process runs the campaign: it alone opens the run directory, asks the controllers, hears Ctrl-C. What it
asks of its engine it asks of all: each call goes out to the other processes before it is made, and they make the same
call. Ranks cannot disagree about a decision that only one of them takes.

An error that all processes meet (a failing grader) is raised in the first one; the others wait for what comes next.
Any other error ends its process, and with it, through the launcher, the run.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crestfall.core.errors import CrestfallError
from crestfall.core.types import Problem, Rollouts, Snapshot
from crestfall.guard.ranks import Ranks, detect
from crestfall.testbed.engines.base import Engine, EvaluationResult
from crestfall.testbed.engines.trl.engine import TrlEngine
from crestfall.testbed.engines.trl.trainer import arguments

if TYPE_CHECKING:
    from crestfall.testbed.config import RunConfig
    from crestfall.testbed.engines.trl.options import TrlOptions

_GO, _CLOSE = "go", "close"


def lead(config: RunConfig, options: TrlOptions) -> Engine:
    ranks = _join(config, options)
    if ranks.size == 1:
        return _engine(config, options)
    _tell(ranks, _GO)
    return Leader(_engine(config, options), ranks)


def follow(config: RunConfig, options: TrlOptions) -> None:
    """Repeat the calls of the first process until it is done."""
    ranks = _join(config, options)
    if _hear(ranks)[0] == _GO:
        engine = _engine(config, options)
        while (call := _hear(ranks))[0] != _CLOSE:
            with suppress(CrestfallError):
                getattr(engine, call[0])(*call[1])
        engine.close()
    _leave()


def dismiss(config: RunConfig, options: TrlOptions) -> None:
    ranks = _join(config, options)
    if ranks.size > 1:
        _tell(ranks, _CLOSE)
        _leave()


class Leader:
    """The engine of the first process; see the module."""

    def __init__(self, engine: TrlEngine, ranks: Ranks) -> None:
        self._engine, self._ranks, self._broken = engine, ranks, False

    def begin_campaign(self, campaign: int, learning_rate_scale: float = 1.0) -> None:
        self._all("begin_campaign", campaign, learning_rate_scale)

    def scale_learning_rate(self, scale: float) -> None:
        self._all("scale_learning_rate", scale)

    def rollout(self, problems: Sequence[Problem], campaign: int, step: int) -> Rollouts:
        rollouts: Rollouts = self._all("rollout", list(problems), campaign, step)
        return rollouts

    def update(self, rollouts: Rollouts) -> Mapping[str, float]:
        signals: Mapping[str, float] = self._all("update", rollouts)
        return signals

    def evaluate(
        self, problems: Sequence[Problem], n: int, key: Sequence[str | int], show: int = 0
    ) -> EvaluationResult:
        result: EvaluationResult = self._all("evaluate", list(problems), n, tuple(key), show)
        return result

    def snapshot(self) -> Snapshot:
        snapshot: Snapshot = self._all("snapshot")
        return snapshot

    def restore(self, snapshot: Snapshot) -> None:
        self._with_snapshot("restore", snapshot)

    def forget_optimizer(self) -> None:
        self._all("forget_optimizer")

    def load_weights(self, snapshot: Snapshot) -> None:
        self._with_snapshot("load_weights", snapshot)

    def close(self) -> None:
        if not self._broken:  # or nobody listens: the others are in the middle of something, and the launcher ends them
            _tell(self._ranks, _CLOSE)
        self._engine.close()
        if not self._broken:
            _leave()

    def _all(self, name: str, *args: Any) -> Any:
        _tell(self._ranks, name, *args)
        return self._call(name, *args)

    def _with_snapshot(self, name: str, snapshot: Snapshot) -> None:
        """Tensors go out one by one where they are put back; with the call go their names, and the scalars."""
        _tell(self._ranks, name, _names_and_scalars(snapshot))
        self._call(name, snapshot)

    def _call(self, name: str, *args: Any) -> Any:
        try:
            return getattr(self._engine, name)(*args)
        except CrestfallError:
            raise
        except BaseException:
            self._broken = True
            raise


def _names_and_scalars(snapshot: Snapshot) -> Snapshot:
    def told(value: Any) -> Any:
        if isinstance(value, Mapping):
            return _names_and_scalars(value)
        return value if value.numel() == 1 else None

    return {name: told(value) for name, value in snapshot.items()}


def _engine(config: RunConfig, options: TrlOptions) -> TrlEngine:
    from crestfall.grading import CodeGrader

    return TrlEngine(config, options, CodeGrader(config.grader))


def _join(config: RunConfig, options: TrlOptions) -> Ranks:
    with tempfile.TemporaryDirectory() as scratch:
        arguments(config, options, Path(scratch))  # joins the process group
    return detect()


def _leave() -> None:
    import torch.distributed as dist

    dist.destroy_process_group()


def _tell(ranks: Ranks, name: str, *args: Any) -> None:
    ranks.broadcast(pickle.dumps((name, args)))


def _hear(ranks: Ranks) -> tuple[str, tuple[Any, ...]]:
    # Pickle between the processes of one job, which run the same code: no door to anybody else.
    message: tuple[str, tuple[Any, ...]] = pickle.loads(ranks.broadcast(None))
    return message
