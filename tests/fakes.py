"""A task source, policy, update and engine of a few lines, so that everything around them can be tested in
milliseconds.

The "policy" is four numpy weights; the probability that a sample passes rises with the distance from the start, and
falls once it is too far: a chain rises and collapses. Registered under the name `fake`; a config reaches it with
`plugins: [fakes]`.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from crestfall.core.registry import register
from crestfall.core.rng import stream
from crestfall.core.types import CallCase, CallTests, Evaluation, Grade, Problem, Rollouts, Verdict
from crestfall.testbed.config import RunConfig
from crestfall.testbed.engines.base import EvaluationResult, Shown
from crestfall.testbed.tasks.base import CampaignSets

# How long a step takes: not an option, so that a run can be slow first and go on fast.
STEP_SECONDS = "FAKE_STEP_SECONDS"


def problems(name: str, size: int) -> list[Problem]:
    tests = CallTests("f", (CallCase((), 1),))
    return [Problem(f"{name}/{i}", f"Problem {i} of {name}", tests, key=f"{name}/{i}") for i in range(size)]


@register("tasks", "fake")
@dataclass(frozen=True)
class FakeTasks:
    """Problems without content."""

    name: ClassVar[str]

    def campaign(self, seed: int, campaign: int, sizes: Any) -> CampaignSets:
        return CampaignSets(
            *(problems(f"{s}-{seed}-{campaign}", getattr(sizes, s)) for s in ("train", "select", "report"))
        )

    def final(self, size: int) -> list[Problem]:
        return problems("final", size)

    def unseen(self, seed: int, size: int) -> list[Problem]:
        return problems(f"unseen-{seed}", size)

    def check(self, campaigns: int, sizes: Any, final: int) -> None: ...


@register("policy", "fake")
@dataclass(frozen=True)
class FakePolicy:
    """Four weights."""

    name: ClassVar[str]

    size: int = 4


@register("update", "fake")
@dataclass(frozen=True)
class FakeUpdate:
    """A drift with momentum and a little noise from the samples."""

    name: ClassVar[str]

    learning_rate: float = 0.1


@register("engine", "fake")
@dataclass(frozen=True)
class FakeFactory:
    """Numpy in place of a language model."""

    name: ClassVar[str]

    fail_at: int = -1
    """Raise in this step of every campaign."""
    kill_at: int = -1
    """Kill the process (SIGKILL) in this step of the first campaign."""

    def create(self, config: RunConfig) -> FakeEngine:
        return FakeEngine(config, self)


@register("engine", "fake_broken")
@dataclass(frozen=True)
class BrokenFactory:
    """Cannot be created."""

    name: ClassVar[str]

    def create(self, config: RunConfig) -> FakeEngine:
        raise TypeError("the fake engine is broken")


class FakeEngine:
    def __init__(self, config: RunConfig, options: FakeFactory) -> None:
        self.config, self.options = config, options
        self.weights, self.momentum = np.zeros(config.policy.size), np.zeros(config.policy.size)
        self.start, self.scale, self.campaign = self.weights.copy(), 1.0, -1
        self.averaged = [self.weights.copy()] if config.campaign.hand_on == "mean" else []

    def scale_learning_rate(self, scale: float) -> None:
        self.scale = scale

    def begin_campaign(self, campaign: int, learning_rate_scale: float = 1.0) -> None:
        self.start, self.scale, self.campaign = self.weights.copy(), learning_rate_scale, campaign
        self.momentum[:] = 0
        self.averaged[:] = [self.weights.copy() for _ in self.averaged[:1]]

    def chance(self) -> float:
        distance = float(np.abs(self.weights).mean())
        return min(0.95, max(0.02, 0.2 + 0.6 * distance - 0.9 * max(0.0, distance - 0.7)))

    def rollout(self, problems: Any, campaign: int, step: int) -> Rollouts:
        time.sleep(float(os.environ.get(STEP_SECONDS, "0")))
        if step == self.options.fail_at:
            raise RuntimeError("the fake engine was told to fail")
        if step == self.options.kill_at and campaign == 0:
            os.kill(os.getpid(), 9)
        group, grades = self.config.campaign.group_size, []
        for problem in problems:
            u = stream("sample", self.config.seed, campaign, step, problem.task_id).random(group)
            grades.append([Grade(Verdict.PASSED if x < self.chance() else Verdict.WRONG_ANSWER) for x in u])
        return Rollouts(problems, [["x"] * group] * len(grades), grades, handle=(campaign, step))

    def update(self, rollouts: Rollouts) -> dict[str, float]:
        reward = float(np.mean([[g.passed for g in group] for group in rollouts.grades_PG]))
        noise = stream("update", self.config.seed, *rollouts.handle).normal(size=self.weights.size)
        rate = self.scale * self.config.update.learning_rate
        self.momentum = 0.7 * self.momentum + rate * (1 + reward + 0.3 * noise)
        self.weights = self.weights + self.momentum
        self.averaged += [self.weights.copy() for _ in self.averaged[:1]]
        return {"reward": reward, "kl_start": float(np.abs(self.weights - self.start).sum()), "entropy": float("nan")}

    def evaluate(self, problems: Any, n: int, key: Any, show: int = 0) -> EvaluationResult:
        draws = stream(*key).random((len(problems), n)) < self.chance()
        passed = tuple(int(c) for c in draws.sum(axis=1))
        evaluation = Evaluation(passed, n, distinct_P=tuple(min(c, 3) for c in passed))
        shown = [Shown(p.task_id, p.prompt, "def f():\n    return 1", Grade(Verdict.PASSED)) for p in problems[:show]]
        return EvaluationResult(evaluation, shown, draws)

    def snapshot(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "policy": {"weights": self.weights.copy()},
            "optimizer": {"momentum": self.momentum.copy()},
        }
        if self.averaged:
            weights = {"weights": np.mean(self.averaged, axis=0)}
            out["average"] = {"weights": weights, "all": np.stack(self.averaged)}
        return out

    def restore(self, snapshot: Any) -> None:
        self.load_weights(snapshot)
        self.momentum = snapshot["optimizer"]["momentum"].copy()

    def forget_optimizer(self) -> None:
        self.momentum[:] = 0

    def load_weights(self, snapshot: Any) -> None:
        self.weights = snapshot["policy"]["weights"].copy()
        self.averaged = list(snapshot["average"]["all"]) if "average" in snapshot else self.averaged

    def close(self) -> None: ...


def options(**over: Any) -> dict[str, Any]:
    """Plain run options: two campaigns of six steps with the fakes."""
    small: dict[str, Any] = {
        "tasks": {"name": "fake"},
        "policy": {"name": "fake"},
        "update": {"name": "fake"},
        "engine": {"name": "fake"},
        "campaign": {
            "steps": 6,
            "train": 8,
            "select": 6,
            "report": 6,
            "problems_per_step": 4,
            "group_size": 4,
            "show": 1,
        },
        "chain": {"campaigns": 2, "final": 10},
        "plugins": ["fakes"],
    }
    return small | over
