"""W&B's local files (`run-*.wandb`): the history of a run, offline or synchronised, without the network.

The records are read by wandb's own protocol classes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from crestfall.analysis.importers.base import History, OneFile
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.frame import About, histories_or_error
from crestfall.analysis.importers.jsonl import cells_of
from crestfall.analysis.importers.leveldb import records
from crestfall.core.errors import InputError, MissingExtraError
from crestfall.core.registry import register


@register("importer", "wandb")
@dataclass(frozen=True)
class WandbFile(OneFile):
    """W&B local run files (.wandb)."""

    order: ClassVar[int] = 0

    def claims(self, path: Path, head: bytes) -> bool:
        return path.suffix == ".wandb"

    def read_one(self, path: Path) -> list[History]:
        try:
            from wandb.proto.wandb_internal_pb2 import Record
        except ImportError as error:
            raise MissingExtraError("wandb", "trackers") from error
        frame, name = Frame(), path.parent.name or path.stem
        for data in records(path, b":W&B"):
            try:
                record = Record.FromString(data)
            except Exception as error:  # protobuf's DecodeError is no subclass of anything useful
                raise InputError(f"{path}: not a W&B file: {error}") from error
            if record.HasField("run"):
                name = record.run.display_name or record.run.run_id or name
            elif record.HasField("history"):
                frame.append(cells_of(_row(record.history)))
        return histories_or_error(frame, About(name, path, "W&B file"), "a history with scores")


def _row(history: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"_step": history.step.num}
    for item in history.item:
        key = item.key or "/".join(item.nested_key)
        try:
            row[key] = json.loads(item.value_json)
        except ValueError:
            continue
    return row
