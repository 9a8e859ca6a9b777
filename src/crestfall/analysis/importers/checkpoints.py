"""A file per checkpoint or step: the step is in a file's or directory's name, as in `evals/step_100.json`,
`checkpoint-100/results.json` and `global_step_100/aime24/metrics.json` (lm-eval, evalplus, scripts of one's own),
verl's `100.jsonl` (`rollout_data_dir`, `validation_data_dir`) and TRL's `completions_00100.parquet`.

JSON and text hold scores; of JSON lines, tables and parquet, a graded sample a row, the means are taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.arrays import parquet_frame
from crestfall.analysis.importers.base import HEAD_BYTES, History
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.console import rows_in
from crestfall.analysis.importers.frame import About, histories_or_error
from crestfall.analysis.importers.jsonl import cells_of
from crestfall.analysis.importers.numbers import NUMBERED, counts, floats, named_step
from crestfall.analysis.importers.table import columns_of, delimiter_of
from crestfall.analysis.importers.text import content, first_object, flat, head_of, read_text, stem_of, suffix_of
from crestfall.core.registry import register
from crestfall.core.signals import word_set, words_of
from crestfall.store.jsonl import lines_of, objects

_TIMES = re.compile(r"\d{4}[-_.]?\d\d?[-_.]?\d\d?|(?<![A-Za-z\d])\d+|(?<=T)\d\d(?=[-:])")
_COMPLETIONS = re.compile(r"(?:(?:completions|eval)[_-])?(\d+)")
_SAMPLE = frozenset(("input", "output", "prompt", "response", "completion", "gts", "task_id", "problem_id", "question"))
"""Columns of files with a graded sample a row."""
_TABLES, _TEXT = (".csv", ".tsv"), (".txt", ".log", ".out")
MOST_RESULTS = 3
"""Rows with scores in the text that an evaluation leaves; a log has more."""
_MODEL = word_set("model pretrained checkpoint ckpt peft")
_RESULTS = re.compile(rb'"(?:results?|eval(?:uation)?s?|scores?|metrics)"')
_VERDICTS = {"pass": 1.0, "passed": 1.0, "fail": 0.0, "failed": 0.0, "timeout": 0.0}
FEWEST_VERDICTS = 3
LARGEST = 64 << 20
_SETTINGS = re.compile(r"config|tokenizer|args|params|vocab|special_tokens|trainer_state|index", re.IGNORECASE)


@register("importer", "checkpoints")
@dataclass(frozen=True)
class Checkpoints:
    """A file of scores per checkpoint, the step in its name or its directory's."""

    order: ClassVar[int] = 3

    def claims(self, path: Path, head: bytes) -> bool:
        kind, place = suffix_of(path), _place(path)
        if place is None or _SETTINGS.search(path.name):
            return False
        if kind == ".json":
            whole = head if len(head) < HEAD_BYTES else content(path) if path.stat().st_size < LARGEST else b""
            return bool(_scores_of(whole))
        if kind == ".parquet":
            return _COMPLETIONS.fullmatch(stem_of(path)) is not None
        if kind in _TEXT:
            scored = [row for row in rows_in(read_text(path)) if row.shape.scored]
            return place.plain and 0 < len(scored) <= MOST_RESULTS and not any(row.counted for row in scored)
        keys = set(first_object(head) or {} if kind == ".jsonl" else _header(head) if kind in _TABLES else ())
        sampled = bool(keys & _SAMPLE)
        counted = any(metrics.step_rank(key) is not None and not metrics.numbers_rows(key) for key in keys)
        return any(metrics.role_of(key) != "aside" for key in keys) and (sampled or (place.plain and not counted))

    def group(self, path: Path) -> Hashable:
        place = _place(path)
        assert place is not None
        return (place.root, place.kind, suffix_of(path))

    def read(self, paths: Sequence[Path]) -> list[History]:
        places = {path: place for path in paths if (place := _place(path)) is not None}
        several = len({place.evaluation for place in places.values()}) > 1
        folders = {place.evaluation: place.evaluation.rpartition("/")[0] for place in places.values()}
        short = folders if len(set(folders.values())) == len(folders) else {name: name for name in folders}
        rows: dict[int, dict[str, Any]] = {}
        for path, place in sorted(places.items(), key=lambda item: (item[1], item[0])):
            own = {f"{short[place.evaluation]}/{k}" if several else k: v for k, v in _read(path).items()}
            rows.setdefault(place.step, {"step": place.step}).update(own)
        root, kind = next((place.root, place.kind) for place in places.values())
        notes = (f"{len(paths)} files, the step in their names",)
        name = root.name if not kind else f"{root.name} {kind}"
        about = About(name, paths[0] if len(paths) == 1 else root, "a file per checkpoint", notes=notes)
        return histories_or_error(Frame.of(rows.values()), about, "scores")


class _Place(NamedTuple):
    """`kind`: what else the numbered name says (`gsm8k` of `gsm8k_step_100.json`); `evaluation`: what lies below it;
    `plain`: a folder's name says nothing else, and a file's more than a number."""

    step: int
    root: Path
    kind: str
    evaluation: str
    plain: bool


def _place(path: Path) -> _Place | None:
    bare = _COMPLETIONS.fullmatch(stem_of(path))
    if bare:
        return _Place(int(bare[1]), path.parent, "", "", False)
    for part in (path, *list(path.parents)[:3]):
        name = stem_of(part) if part is path else part.name
        if (step := named_step(name)) is not None:
            below = "" if part is path else _TIMES.sub("", path.relative_to(part).as_posix())
            evaluation = "/".join(word for word in below.rpartition(".")[0].split("/") if word.strip("-_.")) or below
            plain = part is path or NUMBERED.fullmatch(name) is not None
            return _Place(step, part.parent, NUMBERED.sub("", name).strip("-_. "), evaluation, plain)
    if suffix_of(path) == ".json" and path.stat().st_size < LARGEST and _RESULTS.search(head_of(path, HEAD_BYTES)):
        return _place_within(path, path.stat().st_mtime_ns)
    return None


@lru_cache(maxsize=1024)
def _place_within(path: Path, written: int) -> _Place | None:
    """The same by the checkpoint that a file of results names as its model (lm-eval-harness, Inspect)."""
    try:
        data = json.loads(content(path))
    except (ValueError, RecursionError):
        return None
    inside = dict(flat(data)) if isinstance(data, dict) else {}
    if any(isinstance(v, list) and len(v) >= FEWEST_VERDICTS for v in inside.values()):
        return None  # a curve, or samples
    named = {k: v for k, v in inside.items() if isinstance(v, str)}
    steps = (named_step(v) for k, v in named.items() if _MODEL & set(words_of(k)))
    task = next((v for k, v in named.items() if words_of(k)[-1:] == ["task"]), "")
    return next((_Place(step, path.parent, "", task, False) for step in steps if step is not None), None)


def _header(head: bytes) -> list[str]:
    line = head.decode("utf-8", errors="replace").partition("\n")[0]
    return [cell.strip().strip('"') for cell in line.split(delimiter_of(line))]


def _read(path: Path) -> dict[str, Any]:
    """The scores in one file, and of how many samples they are where it has a graded one a row."""
    kind = suffix_of(path)
    if kind == ".json":
        return _scores_of(content(path))
    if kind in _TEXT:
        return {key: value for row in rows_in(read_text(path)) for key, value in zip(row.keys, row.values, strict=True)}
    return _means(_samples(path))


def _samples(path: Path) -> Frame:
    if suffix_of(path) == ".parquet":
        return parquet_frame(path)
    if suffix_of(path) in _TABLES:
        header, columns = columns_of(path)
        return Frame.of_columns(dict(zip(header, columns, strict=True)))
    return Frame.of(dict(cells_of(row)) for _, row in objects(lines_of(content(path)), path, growing=True))


def _means(frame: Frame) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, (_, raws) in frame.cells.items():
        values_R = floats(raws)[0]
        values_R = values_R[np.isfinite(values_R)]
        if metrics.step_rank(key) is None and 2 * len(values_R) > frame.size:
            out[key] = float(values_R.mean())
            if metrics.role_of(key) != "aside" and np.isin(values_R, (0.0, 1.0)).all():
                out["n"] = len(values_R)
    return out


def _scores_of(data: bytes) -> dict[str, Any]:
    try:
        return _scores(json.loads(data))
    except (ValueError, RecursionError):
        return {}


def _scores(data: Any) -> dict[str, Any]:
    """The numbers of an object that are scores, and their number of samples; empty: it is something else."""
    if not isinstance(data, dict):
        return {}
    numbers = {k: v for k, v in flat(_without_lists(data)) if isinstance(v, int | float)}
    found = {k: v for k, v in numbers.items() if metrics.role_of(k) != "aside"}
    if not found:
        return _verdicts(data)
    return found | {k: v for k, v in numbers.items() if counts(k) is not None and not isinstance(v, bool)}


def _without_lists(data: Any) -> Any:
    """Lists of objects with names as objects (Inspect's scores)."""
    if isinstance(data, dict):
        return {key: _without_lists(value) for key, value in data.items()}
    if isinstance(data, list) and all(isinstance(one, dict) and "name" in one for one in data):
        return {str(one["name"]): _without_lists(one) for one in data}
    return data


def _verdicts(data: Any) -> dict[str, Any]:
    """Shares that passed, of an object with a verdict per problem (EvalPlus' `base_status` and `plus_status`)."""
    found: dict[str, list[float]] = {}
    inner = [data]
    while inner:
        some = inner.pop()
        items = some.items() if isinstance(some, dict) else enumerate(some)
        for key, value in items:
            if isinstance(value, dict | list):
                inner.append(value)
            elif isinstance(value, str) and value.lower() in _VERDICTS:
                found.setdefault(str(key), []).append(_VERDICTS[value.lower()])
    passed = {f"passed {key}": float(np.mean(v)) for key, v in found.items() if len(v) >= FEWEST_VERDICTS}
    return passed and {**passed, "n": max(map(len, found.values()))}
