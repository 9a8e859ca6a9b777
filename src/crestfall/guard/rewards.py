"""CodeGrader as other trainers' reward: TRL's `reward_funcs` and verl's custom reward function.

TRL:
    trainer = GRPOTrainer(..., reward_funcs=trl_reward(problems, grader))        # data set column `task_id`
    trainer = GRPOTrainer(..., reward_funcs=trl_reward(None, grader, column="verification_info"))
verl (`custom_reward_function.path=.../rewards.py`, `custom_reward_function.name=compute_score`, or `compute_scores`
with the reward manager `batch`):
    `reward_model.ground_truth` as PRIME, DeepCoder and verl's own preprocessing write it, or a row of problems

Adapters for OpenRLHF, prime-rl/verifiers and SkyRL stand in `crestfall.guard.adapters`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from crestfall.core.errors import ConfigError, InputError
from crestfall.core.types import Grade, Problem
from crestfall.grading import CodeGrader, programs
from crestfall.grading.texts import text_of
from crestfall.guard.ground_truths import grades_of, problem_of_truth, shared_grader, ungraded

__all__ = ["TrlReward", "compute_score", "compute_scores", "program_of", "trl_reward", "ungraded"]

TrlReward = Callable[..., list[float | None]]


def trl_reward(
    problems: Sequence[Problem] | None, grader: CodeGrader, column: str = "task_id", share: bool = False
) -> TrlReward:
    """A reward function for TRL's GRPOTrainer and its kin: 1.0 for a program that passes, 0.0 for one that does not.

    A sample that could not be graded is None, which TRL leaves out of the reward. Completions may be conversations or
    plain text.

    Args:
        problems: None: the column holds ground truths, in any of the shapes of `grading.problems.truth`.
        column: the data set's column that names the problem.
        share: the share of tests passed in place of all or nothing; make the grader with `Limits(every_test=True)`.

    Raises:
        ConfigError: `share` with a grader that stops at the first failed test.
        InputError (when called): the column is missing, names no problem, or holds no ground truth.
    """
    if share and not grader.limits.every_test:
        raise ConfigError("reward: share=True needs a grader with Limits(every_test=True)")
    known = {problem.task_id: problem for problem in problems or ()}

    def problem_of(value: Any, _: str) -> Problem:
        if str(value) not in known:
            raise InputError(f"reward: column {column!r} holds {value!r}, which is the id of no problem")
        return known[str(value)]

    def crestfall_reward(completions: Sequence[Any], **columns: Any) -> list[float | None]:
        if column not in columns:
            raise InputError(f"reward: the data set has no column {column!r}")
        of = problem_of_truth if problems is None else problem_of
        grades = grades_of(columns[column], completions, [column] * len(completions), grader, of)
        return [None if grade.ungraded else _score(grade, share) for grade in grades]

    return crestfall_reward


def program_of(problem: Problem, completion: Any) -> str:
    """The program in a completion, which may be a conversation."""
    return programs.program_of(problem, text_of(completion))


def compute_score(
    data_source: str | None,
    solution_str: str,
    ground_truth: Any,
    extra_info: Any = None,
    share: bool = False,
    **_: Any,
) -> float:
    """verl's custom reward: 1.0 or 0.0 for one response.

    Args:
        share: the share of tests passed, as PRIME's `continuous` (`custom_reward_function.reward_kwargs.share=True`).

    Raises:
        InputError: a ground truth in none of the formats.

    A sample that could not be graded is 0.0, for verl knows no missing reward, with a warning that counts them:
    `ungraded()`.
    """
    return compute_scores([data_source], [solution_str], [ground_truth], share=share)[0]


def compute_scores(
    data_sources: Sequence[str | None] | None,
    solution_strs: Sequence[str],
    ground_truths: Sequence[Any],
    extra_infos: Any = None,
    share: bool = False,
    **_: Any,
) -> list[float]:
    """verl's custom reward for a whole batch (`reward_model.reward_manager=batch`): `compute_score` of each, many at a
    time."""
    sources = [
        str(source or "verl") for source in (data_sources if data_sources is not None else [None] * len(solution_strs))
    ]
    grades = grades_of(ground_truths, solution_strs, sources, shared_grader(share))
    return [_score(grade, share) for grade in grades]


def _score(grade: Grade, share: bool) -> float:
    return grade.share if share else float(grade.passed)
