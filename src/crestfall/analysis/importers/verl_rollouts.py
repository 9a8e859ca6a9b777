"""verl's rollout dumps (`trainer.rollout_data_dir`, `validation_data_dir`): `STEP.jsonl`, a graded sample a line."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from crestfall.analysis.importers.base import Column, History
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.jsonl import cells_of
from crestfall.analysis.importers.metrics import role_of
from crestfall.analysis.importers.numbers import floats
from crestfall.analysis.importers.text import content, first_object, stem_of, suffix_of
from crestfall.core.registry import register
from crestfall.store.jsonl import lines_of, objects

_SAMPLE_KEYS = frozenset(("input", "output", "prompt", "response", "completion", "gts"))


@register("importer", "verl_rollouts")
@dataclass(frozen=True)
class VerlRollouts:
    """verl rollout dumps: a directory of STEP.jsonl files with a sample a line."""

    order: ClassVar[int] = 2

    def claims(self, path: Path, head: bytes) -> bool:
        if suffix_of(path) != ".jsonl" or not stem_of(path).isdecimal():
            return False
        first = first_object(head) or {}
        return bool(_SAMPLE_KEYS & first.keys()) and any(role_of(key) != "aside" for key in first)

    def group(self, path: Path) -> Hashable:
        return path.parent

    def read(self, paths: Sequence[Path]) -> list[History]:
        directory = paths[0].parent
        history = History(directory.name, directory, "verl rollouts")
        points: dict[str, list[tuple[int, float, int]]] = {}
        for path in sorted(paths, key=lambda p: int(stem_of(p))):
            frame = Frame.of(dict(cells_of(row)) for _, row in objects(lines_of(content(path)), path, growing=True))
            for key, (_, raws) in frame.cells.items():
                values_R, _ = floats(raws)
                values_R = values_R[np.isfinite(values_R)]
                if key != "step" and 2 * len(values_R) > frame.size:
                    counted = len(values_R) if np.isin(values_R, (0.0, 1.0)).all() else 0
                    points.setdefault(key, []).append((int(stem_of(path)), float(values_R.mean()), counted))
        for key, rows in points.items():
            steps, values, counts = zip(*rows, strict=True)
            history.put(key, Column(np.array(steps), np.array(values), np.array(counts) if all(counts) else None))
        history.notes.append(f"means over the samples of {len(paths)} files")
        return [history]
