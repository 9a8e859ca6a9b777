"""An evaluation's file per checkpoint (lm-eval, evalplus, scripts of one's own): the step is in a file's or directory's
name, as in `evals/step_100.json`, `checkpoint-100/results.json` and `global_step_100/aime24/metrics.json`.

JSON holds scores, JSON lines a graded sample each, of which the mean is taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.base import HEAD_BYTES, History
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.frame import COUNTS, About, histories_or_error
from crestfall.analysis.importers.jsonl import cells_of
from crestfall.analysis.importers.numbers import NUMBERED, floats, named_step
from crestfall.analysis.importers.text import content, first_object, flat, suffix_of
from crestfall.core.errors import InputError
from crestfall.core.registry import register
from crestfall.store.jsonl import lines_of, objects

_TIMES = re.compile(r"\d{4}[-_.]?\d\d?[-_.]?\d\d?|(?<![A-Za-z\d])\d+|(?<=T)\d\d(?=[-:])")
_SETTINGS = re.compile(r"config|tokenizer|args|params|vocab|special_tokens|trainer_state|index", re.IGNORECASE)


@register("importer", "checkpoints")
@dataclass(frozen=True)
class Checkpoints:
    """A file of scores per checkpoint, the step in its name or its directory's."""

    order: ClassVar[int] = 3

    def claims(self, path: Path, head: bytes) -> bool:
        if suffix_of(path) not in (".json", ".jsonl") or _SETTINGS.search(path.name) or _place(path) is None:
            return False
        if suffix_of(path) == ".jsonl":
            first = first_object(head) or {}
            return bool(_scores(first)) and not any(metrics.step_rank(key) is not None for key in first)
        try:
            return len(head) < HEAD_BYTES and bool(_scores(json.loads(head)))
        except (ValueError, RecursionError):
            return False

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
    """`kind`: what else the numbered name says (`gsm8k` of `gsm8k_step_100.json`); `evaluation`: what lies below it."""

    step: int
    root: Path
    kind: str
    evaluation: str


def _place(path: Path) -> _Place | None:
    for part in (path, *list(path.parents)[:3]):
        name = part.stem if part is path else part.name
        if (step := named_step(name)) is not None:
            below = "" if part is path else _TIMES.sub("", path.relative_to(part).as_posix())
            evaluation = "/".join(word for word in below.rpartition(".")[0].split("/") if word.strip("-_.")) or below
            return _Place(step, part.parent, NUMBERED.sub("", name).strip("-_. "), evaluation)
    return None


def _read(path: Path) -> dict[str, Any]:
    """The scores in one file, and of how many samples they are."""
    if suffix_of(path) == ".json":
        try:
            return _scores(json.loads(content(path)))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: not JSON: {error}") from None
    frame = Frame.of(dict(cells_of(row)) for _, row in objects(lines_of(content(path)), path, growing=True))
    values = {key: floats(raws)[0] for key, (_, raws) in frame.cells.items() if metrics.role_of(key) != "aside"}
    return {key: float(np.nanmean(values_R)) for key, values_R in values.items() if len(values_R)} | {"n": frame.size}


def _scores(data: Any) -> dict[str, Any]:
    """The numbers of an object that are scores, and their number of samples; empty: it is something else."""
    if not isinstance(data, dict):
        return {}
    numbers = {k: v for k, v in flat(data) if isinstance(v, int | float)}
    found = {k: v for k, v in numbers.items() if metrics.role_of(k) != "aside"}
    return found | {k: v for k, v in numbers.items() if found and k.lower() in COUNTS and not isinstance(v, bool)}
