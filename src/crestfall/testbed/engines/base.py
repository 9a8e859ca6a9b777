"""Protocol of an engine, which holds weights and optimizer and carries out a training step.

`native` is the reference; `trl` drives TRL's GRPOTrainer. The campaign knows only this protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crestfall.core.types import Evaluation, Grade, Problem, Rollouts, Snapshot


@dataclass(frozen=True)
class Shown:
    """A program to show a person: what the policy wrote (greedily) for a problem, and what became of it."""

    task_id: str
    prompt: str
    program: str
    grade: Grade


@dataclass(frozen=True)
class EvaluationResult:
    evaluation: Evaluation
    shown: Sequence[Shown] = ()
    passed_PG: NDArray[np.bool_] | None = field(default=None, compare=False)
    """Samples that passed, without the greedy ones."""


class Engine(Protocol):
    def begin_campaign(self, campaign: int, learning_rate_scale: float = 1.0) -> None:
        """Make the weights held now the campaign's reference; reset the optimizer where the configuration says so.

        `learning_rate_scale`: as for `scale_learning_rate`.
        """
        ...

    def scale_learning_rate(self, scale: float) -> None:
        """Multiply the configured learning rate, with its warm-up and schedule, by `scale` from now on."""
        ...

    def rollout(self, problems: Sequence[Problem], campaign: int, step: int) -> Rollouts:
        """Sample a group of completions for each problem and grade them."""
        ...

    def update(self, rollouts: Rollouts) -> Mapping[str, float]:
        """Take the update(s) of one step. Returns what was measured on the way, under the names of `signals.py`."""
        ...

    def evaluate(
        self, problems: Sequence[Problem], n: int, key: Sequence[str | int], show: int = 0
    ) -> EvaluationResult:
        """pass@1 counts of `n` samples each (plus greedy, and the different programs among the passing where the
        engine can tell), drawn from the random stream `key`. Changes nothing.

        `show`: return the greedy programs of the first so many problems.
        """
        ...

    def snapshot(self) -> Snapshot:
        """A copy of weights and optimizer; `restore(snapshot())` changes no bit of what follows."""
        ...

    def restore(self, snapshot: Snapshot) -> None: ...

    def forget_optimizer(self) -> None:
        """Start the optimizer anew, without momenta. Warm-up, schedule and what the rule remembers go on."""
        ...

    def load_weights(self, snapshot: Snapshot) -> None:
        """Take the weights of a snapshot and leave the optimizer as it is."""
        ...

    def close(self) -> None: ...
