"""What TRL prints: one Python dict a row, without a step, numbers quoted or not, amid progress bars and other output.

Training rows are counted; with `logging_steps` of k, row i is step i k, which the log does not tell. An evaluation row
belongs to the training row before it.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from crestfall.analysis.importers.base import History, step_number
from crestfall.analysis.importers.text import lines_of, read_text
from crestfall.core.registry import register

_ROW = re.compile(r"\{'[^{}]*\}")
_PAIR = re.compile(r"'([^']+)':\s*'?(-?(?:[\d.]+(?:[eE][-+]?\d+)?|nan|inf))'?\s*[,}]")
_TRAINING = {"loss", "reward", "rewards", "learning_rate"}


@register("importer", "trl_console")
@dataclass(frozen=True)
class TrlConsole:
    """TRL's console output: Python dicts, no step."""

    def claims(self, path: Path, head: bytes) -> bool:
        return next(_rows(head.decode("utf-8", errors="replace")), None) is not None

    def group(self, path: Path) -> Hashable:
        return path

    def read(self, paths: Sequence[Path]) -> list[History]:
        (path,) = paths
        history = History(path.stem, path, "TRL console log")
        rows = 0
        counted = False
        for row in _rows(read_text(path)):
            if not any(key.startswith("eval_") for key in row):
                rows += 1
            step = step_number(row.pop("step", None))
            counted |= step is None
            history.add(rows if step is None else step, row)
        if counted:
            history.notes.append("the log has no steps: training rows are counted")
        return [history]


def _rows(text: str) -> Iterator[dict[str, str]]:
    """Every dict that is a row of metrics; the summary at the end of a training is none."""
    for line in lines_of(text):
        for match in _ROW.finditer(line):
            row = dict(_PAIR.findall(match.group()))
            training = len(row) > 1 and not _TRAINING.isdisjoint(row)
            evaluation = any(key.startswith("eval_") for key in row)
            if (training or evaluation) and "train_runtime" not in row:
                row.pop("epoch", None)
                yield row
