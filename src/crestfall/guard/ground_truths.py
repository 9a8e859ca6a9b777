"""One ground truth, one response, one grade: what the adapters for trainers share.

A ground truth is a row of problems in any format that `crestfall grade` reads, or tests in any of the shapes that
trainers keep (`grading.problems.truth`), as an object, an array or a string of JSON.
"""

from __future__ import annotations

import atexit
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from crestfall.core.errors import CrestfallWarning, GraderError
from crestfall.core.types import Grade, Problem, Verdict
from crestfall.grading import CodeGrader, Limits
from crestfall.grading.problems.base import NoTests
from crestfall.grading.problems.formats import FORMATS
from crestfall.grading.problems.formats import problem_of as problem_of_row
from crestfall.grading.problems.truth import truth_of
from crestfall.grading.programs import program_of
from crestfall.grading.texts import text_of
from crestfall.store.jsonl import loads
from crestfall.store.rows import Row

KEPT = 128
"""Problems whose tests are kept: the samples of a group come one after the other."""


def problem_of_truth(truth: Any, source: str = "ground truth") -> Problem:
    """The problem of a ground truth; the same object for an equal one, so that its tests are prepared once.

    Args:
        source: what messages call it.

    Raises:
        NoTests: it holds none.
        InputError: it has none of the known shapes.
    """
    return _problem(truth if isinstance(truth, str) else json.dumps(truth, default=_plain), source)


def _plain(value: Any) -> Any:
    """numpy's arrays and numbers, which parquet files give, as lists and numbers."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


@lru_cache(maxsize=KEPT)
def _problem(text: str, source: str) -> Problem:
    try:
        data = loads(text)
    except ValueError:
        data = text
    if isinstance(data, Mapping):
        row = Row({"task_id": source, **data}, Path(source), 0)
        if any(module.recognises(row) for module in FORMATS.values()):
            return problem_of_row(row)
    return truth_of(data, source).problem(source)


def grades_of(
    truths: Sequence[Any],
    responses: Sequence[Any],
    sources: Sequence[str],
    grader: CodeGrader | None = None,
    problem_of: Callable[[Any, str], Problem] = problem_of_truth,
) -> list[Grade]:
    """One grade per response: a text, or a conversation that ends with one. `grader`: by default the process's own.

    What could not be graded (the grader's fault, a ground truth without tests) is counted and warned of, and never
    raised into a trainer.

    Raises InputError: a ground truth of no known shape.
    """
    grades: list[Grade | None] = [None] * len(truths)
    pairs: dict[int, tuple[Problem, str]] = {}
    for i, (truth, response, source) in enumerate(zip(truths, responses, sources, strict=True)):
        try:
            problem = problem_of(truth, source)
            pairs[i] = (problem, program_of(problem, text_of(response)))
        except NoTests as error:
            grades[i] = Grade(Verdict.UNSUPPORTED, str(error))
    try:
        found = (grader or shared_grader()).grade_batch(pairs.values())
    except GraderError as error:
        found = [Grade(Verdict.INFRA, str(error))] * len(pairs)
    for i, grade in zip(pairs, found, strict=True):
        grades[i] = grade
    return [counted(grade, source) for grade, source in zip(grades, sources, strict=True) if grade is not None]


def ungraded() -> int:
    """Number of samples that could not be graded in this process."""
    return len(_faults)


_faults: list[str] = []


def counted(grade: Grade, source: str) -> Grade:
    """The grade; one that says nothing of the program is counted and warned of."""
    if grade.ungraded:
        _faults.append(grade.detail)
        text = f"{len(_faults)} samples could not be graded so far: no reward is made of them. {source}: {grade.detail}"
        warnings.warn(text, CrestfallWarning, stacklevel=3)
    return grade


@cache
def shared_grader(every_test: bool = False) -> CodeGrader:
    """Grader shared by the process, since trainers call a plain function that cannot hold one."""
    grader = CodeGrader(Limits(every_test=every_test))
    atexit.register(grader.close)
    return grader
