"""W&B's local files (`run-*.wandb`): the history of a run, offline or synchronised, without the network.

The file is LevelDB's log format (blocks of 32 KiB, records in up to four pieces) behind a header of 7 bytes; its
records are read by wandb's own protocol classes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from crestfall.analysis.importers.base import History
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.frame import About, histories_or_error
from crestfall.analysis.importers.jsonl import cells_of
from crestfall.core.errors import InputError, MissingExtraError
from crestfall.core.registry import register

_HEADER = 7
_BLOCK = 32768
_FULL, _FIRST, _LAST = 1, 2, 4


@register("importer", "wandb")
@dataclass(frozen=True)
class WandbFile:
    """W&B local run files (.wandb)."""

    order: ClassVar[int] = 0

    def claims(self, path: Path, head: bytes) -> bool:
        return path.suffix == ".wandb"

    def group(self, path: Path) -> Hashable:
        return path

    def read(self, paths: Sequence[Path]) -> list[History]:
        (path,) = paths
        try:
            from wandb.proto.wandb_internal_pb2 import Record
        except ImportError as error:
            raise MissingExtraError("wandb", "trackers") from error
        frame, name = Frame(), path.parent.name or path.stem
        for data in _records(path):
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


def _records(path: Path) -> Iterator[bytes]:
    """Whole records; a torn last one is passed over."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not data.startswith(b":W&B"):
        raise InputError(f"{path}: not a W&B file: expected it to begin with ':W&B'")
    at, pieces = _HEADER, b""
    while at + 7 <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        if at + 7 + length > len(data):
            return
        pieces = (b"" if kind in (_FULL, _FIRST) else pieces) + data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (_FULL, _LAST):
            yield pieces
        elif kind == 0:
            return
