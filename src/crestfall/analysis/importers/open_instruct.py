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

from crestfall.analysis.importers.base import History, number
from crestfall.core.errors import InputError
from crestfall.core.registry import register

_STEP = re.compile(r"step_?(\d+)")


@register("importer", "open_instruct")
@dataclass(frozen=True)
class OpenInstruct:
    """open-instruct evaluations, one metrics.json per checkpoint."""

    def claims(self, path: Path, head: bytes) -> bool:
        return path.name.endswith("metrics.json") and _step(path) is not None

    def group(self, path: Path) -> Hashable:
        return _run_and_evaluation(path)

    def read(self, paths: Sequence[Path]) -> list[History]:
        run, evaluation = _run_and_evaluation(paths[0])
        source = paths[0].parent if _STEP.search(paths[0].name) else run
        history = History(f"{run.name}/{evaluation}", source, "open-instruct evaluations")
        for path in sorted(paths, key=lambda p: _step(p) or 0):
            step = _step(path)
            assert step is not None
            try:
                tasks = json.loads(path.read_text(encoding="utf-8"))["tasks"]
                for i, task in enumerate(tasks):
                    key = f"{evaluation} primary_score" if i == 0 else f"{task['alias']} primary_score"
                    history.add(step, ((key, number(task["metrics"]["primary_score"])),))
                    if task.get("num_instances"):
                        history.samples.setdefault(key, {})[step] = int(task["num_instances"])
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}: expected tasks with metrics.primary_score: {error!r}") from error
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
