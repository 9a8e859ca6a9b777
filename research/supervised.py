"""Continued supervised training as an engine, to stand beside REINFORCE: `plugins: [research.supervised]`,
`engine: {name: supervised}`.

A step samples nothing and rewards nothing. It trains on as many completions of the warm start's corpus as the other
arms' step samples; the learning rate is the update rule's, and evaluations are those of every arm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from crestfall.core.registry import register
from crestfall.core.types import Problem, Rollouts
from crestfall.testbed.engines.native import NativeEngine
from crestfall.testbed.policies.tiny.policy import LoadedTiny
from research.warmstart.corpus import RECIPES, Corpus
from research.warmstart.train import supervised_loss

if TYPE_CHECKING:
    from crestfall.testbed.config import RunConfig

_APART = 100_000
"""Batches of the corpus between two seeds' sequences: more than any run takes."""


@register("engine", "supervised")
@dataclass(frozen=True)
class Supervised:
    """Goes on with the tiny policy's warm start, at the rate of the update rule."""

    name: ClassVar[str]

    recipe: Literal["conventions", "skill"] = "skill"
    """Whose corpus it goes on with: that of the policy's own weights."""
    problems: Annotated[int, Field(ge=1)] = 2000
    """Problems of the warm pool to draw for it."""

    def create(self, config: RunConfig) -> SupervisedEngine:
        engine = SupervisedEngine.create(config)
        assert isinstance(engine, SupervisedEngine)
        assert isinstance(engine.policy, LoadedTiny)
        engine.read(Corpus(replace(RECIPES[self.recipe], problems=self.problems), engine.policy.tokenizer))
        return engine


class SupervisedEngine(NativeEngine):
    """The native engine with another update."""

    corpus: Corpus

    def read(self, corpus: Corpus) -> None:
        """Take the corpus to train on; before the first update."""
        self.corpus = corpus

    def rollout(self, problems: Sequence[Problem], campaign: int, step: int) -> Rollouts:
        return Rollouts(problems, [], [], None, campaign, step)

    def update(self, rollouts: Rollouts) -> Mapping[str, float]:
        recipe, policy = self.corpus.recipe, self.policy
        assert isinstance(policy, LoadedTiny)
        updates = max(1, len(rollouts.problems) * self.group_size // recipe.batch)
        first = recipe.steps + _APART * (1 + abs(self.seed)) + updates * (rollouts.step - 1)
        self.optimizer.rate.schedule = self.rule.decay(rollouts.step, self.config.campaign.steps)
        losses, norms = [], []
        for place in range(first, first + updates):
            self.optimizer.zero()
            loss = supervised_loss(policy.model, self.corpus.batch(place))
            loss.backward()  # type: ignore[no-untyped-call]
            norms.append(self.optimizer.step())
            losses.append(loss.item())
        return {
            "loss": float(np.mean(losses)),
            "grad_norm": float(np.mean(norms)),
            **self.optimizer.rate.signals(self.optimizer.updates),
        }
