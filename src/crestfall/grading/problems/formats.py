"""Files of problems: each row's format is recognised by its fields."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from crestfall.core.errors import CrestfallWarning, InputError
from crestfall.core.types import Problem
from crestfall.grading.problems import contests, humaneval, jsonl, livecodebench, mbpp, training
from crestfall.grading.problems.base import NoTests
from crestfall.store.rows import Row, read_rows

# In this order: an own line may carry fields of another format beside its `tests`.
FORMATS = {
    "HumanEval, LeetCodeDataset, BigCodeBench": humaneval,
    "MBPP": mbpp,
    "LiveCodeBench": livecodebench,
    "CodeContests, codeforces": contests,
    "own": jsonl,
    "APPS, TACO, ground truths (verl, PRIME, SkyRL, DeepCoder, open-r1, KodCode)": training,
}


def load_problems(path: Path) -> list[Problem]:
    """The problems of a file in any of the formats: `stream_problems`, with a warning for rows that are left out.

    Raises:
        InputError: names file, row and field; also for two problems of one task_id, and for a file without any.
    """
    left_out: list[str] = []
    problems = list(stream_problems(path, left_out))
    if left_out:
        warnings.warn(left_out_line(left_out), CrestfallWarning, stacklevel=2)
    return problems


def stream_problems(path: Path, left_out: list[str]) -> Iterator[Problem]:
    """The problems of a file one by one, so that no more than one is held.

    Args:
        left_out: gets a line for every row of a data set that nothing could grade.

    Raises:
        InputError: as `load_problems`.
    """
    seen: set[str] = set()
    for row in read_rows(path):
        try:
            problem = problem_of(row)
        except NoTests as error:
            left_out.append(str(error))
            continue
        if problem.task_id in seen:
            raise InputError(f"{row.where}: field 'task_id' is {problem.task_id!r}, which an earlier line has too")
        seen.add(problem.task_id)
        yield problem
    if not seen:
        reason = f": {left_out_line(left_out)}" if left_out else ""
        raise InputError(f"{path}: the file holds no problems{reason}")


def left_out_line(left_out: list[str]) -> str:
    """One line on the rows that are left out."""
    more = f", and {len(left_out) - 1} more" if len(left_out) > 1 else ""
    return f"left out, for nothing could grade it: {left_out[0]}{more}"


def problem_of(row: Row) -> Problem:
    """The problem of one row. Its nulls are fields of other rows, as tables write them that were put together; a row
    that is of no format without them is read with them.

    Raises:
        NoTests: a row that a data set holds and nothing could grade.
        InputError: no known format, or a field that is not what it should be.
    """
    filled = replace(row, data={name: value for name, value in row.data.items() if value is not None})
    for candidate in (filled, row):
        for module in FORMATS.values():
            if module.recognises(candidate):
                problem: Problem = module.problem(candidate)
                return problem
    fields = ", ".join(sorted(row.data)) or "none"
    raise InputError(f"{row.where}: no known format of problems ({', '.join(FORMATS)}) has these fields: {fields}")
