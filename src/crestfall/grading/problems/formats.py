"""Files of problems: each line's format is recognised by its fields."""

from __future__ import annotations

from pathlib import Path

from crestfall.core.errors import InputError
from crestfall.core.types import Problem
from crestfall.grading.problems import apps, humaneval, jsonl, livecodebench, mbpp
from crestfall.store.rows import Row, read_rows

# In this order: an own line may carry fields of another format beside its `tests`.
FORMATS = {"HumanEval": humaneval, "MBPP": mbpp, "LiveCodeBench": livecodebench, "APPS": apps, "own": jsonl}


def load_problems(path: Path) -> list[Problem]:
    """The problems of a JSONL file (plain or gzipped) in any of the formats.

    Raises:
        InputError: names file, line and field; also for two problems of one task_id, and for a file without any.
    """
    problems: dict[str, Problem] = {}
    for row in read_rows(path):
        problem = problem_of(row)
        if problem.task_id in problems:
            raise InputError(f"{row.where}: field 'task_id' is {problem.task_id!r}, which an earlier line has too")
        problems[problem.task_id] = problem
    if not problems:
        raise InputError(f"{path}: no problems in it")
    return list(problems.values())


def problem_of(row: Row) -> Problem:
    """The problem of one line. Raises InputError."""
    for module in FORMATS.values():
        if module.recognises(row):
            problem: Problem = module.problem(row)
            return problem
    fields = ", ".join(sorted(row.data)) or "none"
    raise InputError(f"{row.where}: no known format of problems ({', '.join(FORMATS)}) has these fields: {fields}")
