"""CodeGrader as other trainers' reward: a TRL `reward_funcs` callable, and a verl custom reward function.

TRL:
    trainer = GRPOTrainer(..., reward_funcs=trl_reward(problems, grader))        # data set column `task_id`
verl (`custom_reward_function.path=.../rewards.py`, `custom_reward_function.name=compute_score`):
    ground_truth is a line of problems as `crestfall grade --problems` reads it, a JSON string or an object
"""

from __future__ import annotations

import atexit
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from crestfall.core.errors import CrestfallWarning, GraderError, InputError
from crestfall.core.types import Grade, Problem, Verdict
from crestfall.grading import CodeGrader
from crestfall.grading.problems.formats import problem_of
from crestfall.grading.programs import program_of
from crestfall.store.rows import Row

TrlReward = Callable[..., list[float | None]]


def trl_reward(problems: Sequence[Problem], grader: CodeGrader, column: str = "task_id") -> TrlReward:
    """A reward function for TRL's GRPOTrainer and its kin: 1.0 for a program that passes, 0.0 for one that does not.

    A grader fault is None, which TRL leaves out of the reward. Completions may be conversations or plain text.

    Args:
        column: the data set's column that names the problem.

    Raises (when called):
        InputError: the column is missing, or names no problem.
    """
    known = {problem.task_id: problem for problem in problems}

    def crestfall_reward(completions: Sequence[Any], **columns: Any) -> list[float | None]:
        if column not in columns:
            raise InputError(f"reward: the data set has no column {column!r}")
        pairs = []
        for completion, task_id in zip(completions, columns[column], strict=True):
            if str(task_id) not in known:
                raise InputError(f"reward: column {column!r} has {task_id!r}, which no problem has")
            problem = known[str(task_id)]
            pairs.append((problem, program_of(problem, text_of(completion))))
        return [None if g.verdict is Verdict.INFRA else float(g.passed) for g in grader.grade_batch(pairs)]

    return crestfall_reward


def text_of(completion: Any) -> str:
    """The text of a completion: the string itself, or the last message of a conversation."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])


def compute_score(
    data_source: str, solution_str: str, ground_truth: str | Mapping[str, Any], extra_info: Any = None, **_: Any
) -> float:
    """verl's custom reward: 1.0 or 0.0 for one response.

    Raises:
        InputError: a ground truth in none of the formats.

    A fault of the grader is 0.0, for verl knows no missing reward, with a warning that counts them: `ungraded()`.
    """
    data = json.loads(ground_truth) if isinstance(ground_truth, str) else dict(ground_truth)
    problem = problem_of(Row({"task_id": "verl", **data}, Path(data_source), 0))
    try:
        grade = _grader().grade(problem, program_of(problem, solution_str))
    except GraderError as error:
        grade = Grade(Verdict.INFRA, str(error))
    if grade.verdict is Verdict.INFRA:
        _count_fault(f"{data_source}: {grade.detail}")
    return float(grade.passed)


def ungraded() -> int:
    """How many samples `compute_score` could not grade in this process."""
    return len(_faults)


_faults: list[str] = []


def _count_fault(detail: str) -> None:
    _faults.append(detail)
    warnings.warn(
        f"compute_score could not grade {len(_faults)} samples so far and gave them 0.0: {detail}",
        CrestfallWarning,
        stacklevel=3,
    )


@cache
def _grader() -> CodeGrader:
    """One per process: verl calls a function and gives it nothing to keep."""
    grader = CodeGrader()
    atexit.register(grader.close)
    return grader
