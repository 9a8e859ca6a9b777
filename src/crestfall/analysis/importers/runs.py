"""Several runs in one file: columns that name them, columns that are runs, counters that begin again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.numbers import count_distinct, floats, missing
from crestfall.analysis.trajectory import IntArray
from crestfall.core.signals import word_set, words_of

_RUN = word_set(
    "run runs seed trial trials experiment exp algorithm algo method variant arm model config replicate rep fold "
    "job agent optimizer policy setting condition name id label sweep baseline recipe"
)
"""Words of columns whose values tell runs apart."""
_SAMPLE = word_set(
    "problem problems prompt question task sample completion response rollout answer index idx uid uuid request "
    "instance example item row rank worker replica gpu device host pid thread env episode traj trajectory group"
)
"""Words of columns whose values tell samples (or processes) of one run apart: their rows are averaged."""
_RUN_NUMBERS = word_set("run runs seed trial trials fold rep replicate experiment exp job id")
_SETTING = word_set("lr rate beta temperature temp coef coefficient eps epsilon gamma lambda alpha tau dropout decay k")
_SPLIT = word_set("split phase stage mode set subset partition event type kind")
_SPLITS = {"train": "train", "training": "train", "eval": "eval", "evaluation": "eval", "val": "val", "valid": "val"}
_SPLITS |= {"validation": "val", "test": "test", "dev": "dev"}
_NAMES = ("metric", "attributepath", "tag", "key", "variable", "measure", "metricname", "name", "series", "scalar")
_VALUES = ("value", "val", "scalar", "metricvalue", "floatvalue", "score", "values")
_TASKS = word_set("task tasks benchmark dataset suite domain")
TEXTS = word_set("input output prompt response completion question answer solution text")
"""Columns of tables with a sample a row."""
TIMES = word_set(
    "time times timestamp seconds sec secs s minutes min hours hour h elapsed runtime duration wall date eta"
)
MOST_TASKS = 40
MOST_RUNS = 200
MOST_SETTINGS, FEWEST_OF_ONE = 20, 4
NEW_RUN = 0.1
SHUFFLED = 1 / 3
"""Rows of which more go back than this, and no two are of one step, stand in no order: they are one run."""
FALSE_START = 0.25
"""A log that goes back to its first tenth is a new run, unless what was written before is less than a quarter of it."""


def labels_of(frame: Frame, alone: bool) -> tuple[list[str] | None, str, bool]:
    """The label of each row's run (None: one run), the columns that it comes from, and whether rows are samples.

    Columns are only looked at where the same step stands in several rows; `alone`: the rows hold their own steps.
    """
    if not alone or frame.size < 4:
        return None, "", False
    counter = _repeating_counter(frame)
    if counter is None:
        return None, "", False
    named, unnamed, samples = [], [], False
    for key, (at, raws) in frame.cells.items():
        if len(at) < frame.size or metrics.step_rank(key) is not None or set(words_of(key)) & TIMES:
            continue
        distinct = _distinct(raws)
        name = _last_word(key)
        values = floats(list(distinct))[0]
        numeric = len(values) == len(distinct)
        if not numeric and any(missing(raw) for raw in distinct):
            continue
        if numeric and (values != np.round(values)).any():
            continue
        if name in _SAMPLE or (name == "id" and _are_graded(frame)):
            samples |= len(distinct) > 1
        elif not 1 < len(distinct) <= min(MOST_RUNS, frame.size // 2):
            continue
        elif name in _RUN and (not numeric or name in _RUN_NUMBERS):
            named.append(key)
        elif not numeric and not any(isinstance(x, str) and len(x) > 80 for x in distinct):
            unnamed.append(key)
    chosen = named or ([] if samples else unnamed) or ([] if samples else _settings(frame, counter))
    if not chosen:
        return None, "", samples
    rows = zip(*(frame.cells[key][1] for key in chosen), strict=True)
    numbers = [len(floats(frame.cells[key][1])[0]) > 0 for key in chosen]
    labels = ["/".join(_label(k, x, n) for k, x, n in zip(chosen, row, numbers, strict=True)) for row in rows]
    return labels, ", ".join(chosen), samples


def _are_graded(frame: Frame) -> bool:
    """Whether every score is 0 or 1: a row is a graded sample."""
    scores = [raws for key, (_, raws) in frame.cells.items() if metrics.role_of(key) != "aside"]
    return bool(scores) and all(bool(np.isin(floats(raws)[0], (0.0, 1.0)).all()) for raws in scores)


def _settings(frame: Frame, counter: str) -> list[str]:
    """A column of a hyperparameter, few values of which stand once at every step each."""
    steps, size = frame.cells[counter][1], frame.size
    for key, (at, raws) in frame.cells.items():
        if len(at) < size or not set(words_of(key)) & _SETTING:
            continue
        counts = Counter(map(str, raws))
        even = 1 < len(counts) <= MOST_SETTINGS and 2 * min(counts.values()) > max(counts.values()) >= FEWEST_OF_ONE
        if even and len(set(zip(steps, map(str, raws), strict=True))) == size and len(floats(raws)[0]) == size:
            return [key]
    return []


def names_each_row(key: str, raws: Sequence[Any]) -> bool:
    """Whether a column gives every row a name of its own, as in a table of runs."""
    named = _last_word(key) in _RUN and all(isinstance(raw, str) for raw in raws) and not len(floats(raws)[0])
    return named and len(raws) > 2 and len(set(raws)) == len(raws)


def _last_word(key: str) -> str:
    """`config/seed` is a seed and `problem_id` a problem."""
    words = words_of(key)
    while len(words) > 1 and words[-1] in ("id", "idx", "index", "name", "no", "number", "num"):
        words.pop()
    return words[-1] if words else ""


def _label(key: str, raw: Any, numeric: bool) -> str:
    text = str(raw).strip()
    return f"{key}-{text}" if numeric else text


def _repeating_counter(frame: Frame) -> str | None:
    """A step counter with the same value in several rows, if all counters have that."""
    found = None
    for key, (_, raws) in frame.cells.items():
        if metrics.step_rank(key) is not None:
            if len(_distinct(raws)) == len(raws):
                return None
            found = key
    return found


def _distinct(raws: Sequence[Any]) -> set[Hashable]:
    try:
        return set(raws)
    except TypeError:
        return {raw if isinstance(raw, Hashable) else repr(raw) for raw in raws}


def pivoted(frame: Frame) -> Frame:
    """A long table (a column that names the metric, a column of values) as one column per metric; a column that says
    `train` or `eval` becomes a prefix of the keys; other frames as they are."""
    lower = {key.lower().replace("_", "").replace(".", ""): key for key in frame.cells}
    name = next((lower[n] for n in _NAMES if n in lower and _is_text(frame, lower[n])), None)
    value = next((lower[v] for v in _VALUES if v in lower and lower[v] != name), None)
    if name is not None and value is not None and any(metrics.step_rank(key) is not None for key in frame.cells):
        frame = _renamed(frame, name, lambda label, key: str(label).strip() if key == value else key)
        frame.cells.pop("offset", None)
    frame = _by_task(frame)
    split = next((key for key in frame.cells if _last_word(key) in _SPLIT and _is_split(frame.cells[key][1])), None)
    if split is None:
        return frame

    def prefixed(label: Any, key: str) -> str:
        prefix = _SPLITS.get(str(label).strip().lower())
        if prefix is None:
            return key
        aside = metrics.step_rank(key) is not None or metrics.role_of(key) == "evaluation"
        return key if aside or key.lower() in ("n", "timestamp", "seed", "run") else f"{prefix}/{key}"

    return _renamed(frame, split, prefixed)


def _by_task(frame: Frame) -> Frame:
    """Rows of several benchmarks a step as one column per benchmark."""
    counter = next((key for key in frame.cells if metrics.step_rank(key) is not None), None)
    task = next((key for key in frame.cells if _last_word(key) in _TASKS and _is_text(frame, key)), None)
    if counter is None or task is None or _are_graded(frame):
        return frame
    (step_at, steps), (task_at, tasks) = frame.cells[counter], frame.cells[task]
    pairs = set(zip(map(str, steps), tasks, strict=False))
    if step_at != task_at or len(pairs) < len(steps) or not 1 < len(set(tasks)) <= MOST_TASKS:
        return frame

    def renamed(label: Any, key: str) -> str:
        return key if metrics.role_of(key) == "aside" else f"{str(label).strip()}/{key}"

    return _renamed(frame, task, renamed)


def _renamed(frame: Frame, by: str, rename: Any) -> Frame:
    labels: list[Any] = [None] * frame.size
    for at, raw in zip(*frame.cells[by], strict=True):
        labels[at] = raw
    out = Frame(frame.size)
    for key, (places, raws) in frame.cells.items():
        if key == by:
            continue
        for at, raw in zip(places, raws, strict=True):
            if labels[at] is not None:
                cell = out.cells.setdefault(rename(labels[at], key), ([], []))
                cell[0].append(at)
                cell[1].append(raw)
    return out


def _is_text(frame: Frame, key: str) -> bool:
    raws = [raw for raw in frame.cells[key][1] if not missing(raw)]
    return bool(raws) and all(isinstance(raw, str) for raw in raws) and not len(floats(raws[:50])[0])


def _is_split(raws: Sequence[Any]) -> bool:
    """Mostly train and eval, both of them or one."""
    labels = [raw.strip().lower() for raw in raws if isinstance(raw, str)]
    return len(labels) == len(raws) and 2 * sum(label in _SPLITS for label in labels) > len(labels)


def split_at_resets(steps_R: IntArray) -> list[IntArray]:
    """Rows as runs: a new one begins where the counter goes back to the first tenth of what it has been through."""
    everything = np.arange(len(steps_R))
    back_R = np.diff(steps_R) < 0
    if len(steps_R) < 4 or not back_R.any() or (back_R.mean() > SHUFFLED and count_distinct(steps_R) == len(steps_R)):
        return [everything]
    first, highest = int(steps_R[0]), np.maximum.accumulate(steps_R)
    near_R = steps_R[1:] <= first + NEW_RUN * (highest[:-1] - first)
    far_R = highest[:-1] > first + 2
    cuts = np.flatnonzero(back_R & near_R & far_R) + 1
    pieces = [piece for piece in np.split(everything, cuts) if len(piece)]
    kept: list[IntArray] = []
    for piece in pieces:
        if kept and len(kept[-1]) < FALSE_START * len(piece):
            piece = np.concatenate([kept.pop(), piece])  # a false start: the later attempt replaces it
        kept.append(piece)
    return kept
