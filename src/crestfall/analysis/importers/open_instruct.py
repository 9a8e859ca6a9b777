"""open-instruct (oe-eval): a metrics file per checkpoint and evaluation; the step is in the file's or directory's name.

`EVALUATION/step_100.metrics.json` or `step_100/EVALUATION/metrics.json`. The judged metric is the primary score of the
suite's first task; its number of instances gives the standard error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from crestfall.analysis.importers.base import Column, History
from crestfall.analysis.importers.text import content
from crestfall.core.errors import InputError
from crestfall.core.registry import register

_STEP = re.compile(r"step_?(\d+)")


@register("importer", "open_instruct")
@dataclass(frozen=True)
class OpenInstruct:
    """open-instruct evaluations, one metrics.json per checkpoint."""

    order: ClassVar[int] = 1

    def claims(self, path: Path, head: bytes) -> bool:
        return path.name.endswith("metrics.json") and _step(path) is not None

    def group(self, path: Path) -> Hashable:
        return _run_and_evaluation(path)

    def read(self, paths: Sequence[Path]) -> list[History]:
        run, evaluation = _run_and_evaluation(paths[0])
        source = paths[0].parent if _STEP.search(paths[0].name) else run
        history = History(f"{run.name}/{evaluation}", source, "open-instruct evaluations")
        points: dict[str, list[tuple[int, float, int]]] = {}
        for path in sorted(paths, key=lambda p: _step(p) or 0):
            step = _step(path)
            assert step is not None
            try:
                for i, task in enumerate(json.loads(content(path))["tasks"]):
                    key = f"{evaluation} primary_score" if i == 0 else f"{task['alias']} primary_score"
                    score = float(task["metrics"]["primary_score"])
                    points.setdefault(key, []).append((step, score, int(task.get("num_instances") or 0)))
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}: expected tasks with metrics.primary_score: {error!r}") from error
        for key, rows in points.items():
            steps, values, counts = (np.array(column) for column in zip(*rows, strict=True))
            history.put(key, Column(steps, values, counts if all(counts) else None))
        return [history]


def _step(path: Path) -> int | None:
    match = _STEP.search(path.name) or next(filter(None, (_STEP.fullmatch(p.name) for p in path.parents)), None)
    return int(match[1]) if match else None


def _run_and_evaluation(path: Path) -> tuple[Path, str]:
    """The directory of the run and the name of the evaluation."""
    if _STEP.search(path.name):
        return path.parent.parent, path.parent.name
    at = next(p for p in path.parents if _STEP.fullmatch(p.name))
    return at.parent, "/".join(path.parent.relative_to(at).parts) or "evaluation"
