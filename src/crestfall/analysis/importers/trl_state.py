"""`trainer_state.json` of TRL and transformers: training and evaluation rows mixed, each with its step."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crestfall.analysis.importers.base import History
from crestfall.core.errors import InputError
from crestfall.core.registry import register


@register("importer", "trl_state")
@dataclass(frozen=True)
class TrlState:
    """TRL / transformers trainer_state.json."""

    def claims(self, path: Path, head: bytes) -> bool:
        return path.suffix == ".json" and (path.name == "trainer_state.json" or b'"log_history"' in head)

    def group(self, path: Path) -> Hashable:
        return path

    def read(self, paths: Sequence[Path]) -> list[History]:
        (path,) = paths
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))["log_history"]
            history = History(path.parent.name or path.stem, path, "trainer_state.json")
            for row in rows:
                history.add(int(row["step"]), ((k, v) for k, v in row.items() if k not in ("step", "epoch")))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: expected an object with log_history, rows with a step: {error!r}") from error
        return [history]
