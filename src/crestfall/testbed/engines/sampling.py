"""Sampling shared by all engines: completions drawn from keyed random numbers, graded, counted.

Here and not in one engine, so that a rollout or an evaluation is the same thing whichever engine trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from crestfall.core.errors import GraderError
from crestfall.core.rng import Key, stream
from crestfall.core.types import Evaluation, Grade, Problem, Rollouts
from crestfall.grading.distinct import count_distinct
from crestfall.testbed.engines.base import EvaluationResult, Shown
from crestfall.testbed.policies.base import FloatArray, Rows, Samples
from crestfall.testbed.tasks.base import Conventions, TaskSource
from crestfall.testbed.updates.base import Advantages, State, UpdateRule
from crestfall.testbed.updates.random_reward import random_flips, random_reward

if TYPE_CHECKING:
    from crestfall.grading import CodeGrader
    from crestfall.testbed.config import RunConfig


class Sampler(Protocol):
    """Draws completions; every policy is one."""

    def sample(
        self, problems: Sequence[Problem], uniforms_PGT: FloatArray, temperature: float, greedy: bool = False
    ) -> Samples:
        """See `policies.base.LoadedPolicy`."""
        ...


class SamplingEngine:
    """The part of an engine that samples and grades. Subclasses train."""

    rule: UpdateRule
    rule_state: State

    def __init__(self, sampler: Sampler, tasks: TaskSource, grader: CodeGrader, config: RunConfig) -> None:
        self.sampler, self.tasks, self.grader = sampler, tasks, grader
        self.group_size, self.temperature = config.campaign.group_size, config.campaign.temperature
        self.greedy, self.max_tokens, self.seed = config.campaign.greedy, config.policy.max_tokens, config.seed

    def close(self) -> None:
        self.grader.close()

    def rollout(self, problems: Sequence[Problem], campaign: int, step: int) -> Rollouts:
        samples = self._sample(problems, self.group_size, ("rollout", self.seed, campaign, step))
        grades = self._grade(_programs(samples))
        g = self.group_size
        texts_PG = [samples.texts_N[i : i + g] for i in range(0, len(samples.texts_N), g)]
        grades_PG = [grades[i : i + g] for i in range(0, len(grades), g)]
        return Rollouts(problems, texts_PG, grades_PG, samples, campaign, step)

    def evaluate(self, problems: Sequence[Problem], n: int, key: Sequence[Key], show: int = 0) -> EvaluationResult:
        # The greedy completion rides along as one more column of the group.
        group = n + int(self.greedy)
        samples = self.sampler.sample(problems, self._uniforms(problems, group, key), self.temperature, self.greedy)
        programs = _programs(samples)
        grades = self._grade(programs)
        passed_PG = passed(grades).reshape(len(problems), group)
        competent_N, competent_P = self._competent(programs, grades), None
        if competent_N is not None:
            competent_P = tuple(competent_N.reshape(-1, group)[:, :n].sum(axis=1).tolist())
        evaluation = Evaluation(
            passed_P=tuple(passed_PG[:, :n].sum(axis=1).tolist()),
            n=n,
            competent_P=competent_P,
            greedy_P=tuple(passed_PG[:, n].astype(int).tolist()) if self.greedy else None,
            distinct_P=tuple(
                count_distinct(programs[p * group + g][1] for g in np.flatnonzero(row[:n]))
                for p, row in enumerate(passed_PG)
            ),
        )
        last = [(p + 1) * group - 1 for p in range(min(show, len(problems)))]
        shown = [
            Shown(problems[i // group].task_id, problems[i // group].prompt, programs[i][1], grades[i]) for i in last
        ]
        return EvaluationResult(evaluation, shown, passed_PG[:, :n])

    def _judged(self, rollouts: Rollouts) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Advantages]:
        """Which samples passed, which earn the reward ([P, G] each), and the rule's advantages, which move its
        state."""
        grades = [grade for group in rollouts.grades_PG for grade in group]
        passed_PG = passed(grades).reshape(-1, rollouts.handle.group_size)
        rewarded_PG = rewarded(self.rule, passed_PG, rollouts, self.seed)
        advantages = self.rule.advantages(rewarded_PG, self.rule_state)
        self.rule_state = advantages.state
        return passed_PG, rewarded_PG, advantages

    def _sample(self, problems: Sequence[Problem], group: int, key: Sequence[Key]) -> Samples:
        return self.sampler.sample(problems, self._uniforms(problems, group, key), self.temperature)

    def _uniforms(self, problems: Sequence[Problem], group: int, key: Sequence[Key]) -> FloatArray:
        """[P, G, T] uniform numbers, each a function of the key, the problem, the sample and the token's place."""
        size = (group, self.max_tokens)
        return np.stack([stream("sample", *key, p.task_id).random(size, dtype=np.float32) for p in problems])

    def _grade(self, programs: Sequence[tuple[Problem, str]]) -> list[Grade]:
        grades: list[Grade] = self.grader.grade_batch(programs)
        faults = [grade.detail for grade in grades if grade.ungraded]
        if faults:
            raise GraderError(f"the grader failed on {len(faults)} of {len(grades)} programs: {faults[0]}")
        return grades

    def _competent(self, programs: Sequence[tuple[Problem, str]], grades: Sequence[Grade]) -> NDArray[np.bool_] | None:
        """Whether each program computes the right values under any answering convention; None if there is only one."""
        if not isinstance(self.tasks, Conventions):
            return None
        competent = passed(grades)
        rewritten: list[tuple[Problem, str]] = []
        places: list[int] = []
        for i, (problem, program) in enumerate(programs):
            returning = None if competent[i] else self.tasks.any_convention(problem, program)
            if returning is not None:
                places.append(i)
                rewritten.append((problem, returning))
        competent[places] = passed(self._grade(rewritten))
        return competent


def batch_signals(
    samples: Samples, rows: Rows, passed_PG: NDArray[np.bool_], advantages: Advantages
) -> dict[str, float]:
    """Signals of a batch before any gradient."""
    share_P = passed_PG.mean(axis=1)
    return {
        "reward": float(passed_PG.mean()),
        "reward_std": float(passed_PG.std(axis=1).mean()),
        "zero_variance_groups": float(np.mean((share_P == 0) | (share_P == 1))),
        "all_passed_groups": float(np.mean(share_P == 1)),
        "all_failed_groups": float(np.mean(share_P == 0)),
        "length": float(np.mean([len(tokens) for tokens in samples.tokens_N])),
        "truncated": float(samples.truncated_N.mean()),
        "distinct": len(rows.first_R) / len(samples.tokens_N),
        "advantage_abs": float(np.abs(advantages.values_PG).mean()),
    }


def rewarded(rule: UpdateRule, passed_PG: NDArray[np.bool_], rollouts: Rollouts, seed: int) -> NDArray[np.bool_]:
    """Samples that earn the reward: those that passed, or some at random; some verdicts are inverted."""
    key = (seed, rollouts.campaign, rollouts.step)
    out = passed_PG if rule.rewarded == "passed" else random_reward(passed_PG, rollouts.problems, key)
    return out if rule.flipped == 0 else out ^ random_flips(rule.flipped, out.shape[1], rollouts.problems, key)


def counted(rule: UpdateRule, rewarded_PG: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[P] which groups give a gradient and count in the normaliser."""
    if rule.zero_variance_groups == "counted":
        return np.ones(len(rewarded_PG), dtype=np.bool_)
    return np.asarray(rewarded_PG.any(axis=1) & ~rewarded_PG.all(axis=1))


def passed(grades: Sequence[Grade]) -> NDArray[np.bool_]:
    return np.array([grade.passed for grade in grades], dtype=np.bool_)


def _programs(samples: Samples) -> list[tuple[Problem, str]]:
    return list(zip(samples.problem_N, samples.programs_N, strict=True))
