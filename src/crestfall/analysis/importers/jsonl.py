"""JSON lines with a step: prime-rl and tinker `metrics.jsonl`, W&B histories, and plain ones.

The step is the key of `STEP_KEYS` that stands in the most rows; rows without it are passed over. Nested objects are
flattened. A row may tell how many samples its scores come from as `n`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crestfall.analysis.importers.base import History, step_number
from crestfall.analysis.importers.text import first_object, flat
from crestfall.core.errors import InputError
from crestfall.core.keys import STEP_KEYS
from crestfall.core.registry import register
from crestfall.store.jsonl import read_objects
from crestfall.store.layout import EVENTS_FILE


@register("importer", "jsonl")
@dataclass(frozen=True)
class Jsonl:
    """JSONL with a step: prime-rl, tinker, W&B, plain."""

    def claims(self, path: Path, head: bytes) -> bool:
        first = first_object(head)
        if first is None or path.name == EVENTS_FILE:
            return False
        other = "log_history" in first or ("step" in first and isinstance(first.get("data"), dict))
        keys = {key for key, _ in flat(first)}
        return not other and (not keys.isdisjoint(STEP_KEYS) or path.suffix == ".jsonl")

    def group(self, path: Path) -> Hashable:
        return path

    def read(self, paths: Sequence[Path]) -> list[History]:
        (path,) = paths
        rows = [dict(flat(row)) for _, row in read_objects(path, growing=True)]
        seen = {key: sum(step_number(row.get(key)) is not None for row in rows) for key in STEP_KEYS}
        step_key = max(seen, key=lambda key: seen[key])
        if not seen[step_key]:
            raise InputError(f"{path}: no row has a step; expected one of the keys {', '.join(STEP_KEYS)}")
        name = path.parent.name if path.stem in ("metrics", "training_metrics") else path.stem
        history = History(name or path.stem, path, "JSONL")
        for row in rows:
            step, n = step_number(row.get(step_key)), step_number(row.get("n"))
            if step is None:
                continue
            scores = {
                key: value for key, value in row.items() if key not in STEP_KEYS and key not in ("n", "timestamp")
            }
            history.add(step, scores)
            if n:
                for key in scores:
                    history.samples.setdefault(key, {})[step] = n
        if seen[step_key] < len(rows):
            history.notes.append(f"{len(rows) - seen[step_key]} rows without {step_key}: left out")
        return [history]
