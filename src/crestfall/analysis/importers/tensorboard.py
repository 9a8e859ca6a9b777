"""TensorBoard event files: OpenRLHF, verl, TRL and most others. All scalars of all files of a directory, none sampled.

The record framing (length, checksum, bytes, checksum) is read here and the messages by tensorboard's own protocol
classes: tensorboard's loaders check sums in Python, a hundred times slower. A torn last record is passed over.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crestfall.analysis.importers.base import History
from crestfall.core.errors import InputError, MissingExtraError
from crestfall.core.registry import register


@register("importer", "tensorboard")
@dataclass(frozen=True)
class TensorBoard:
    """TensorBoard event files of one directory, restarts and all."""

    def claims(self, path: Path, head: bytes) -> bool:
        return ".tfevents." in path.name

    def group(self, path: Path) -> Hashable:
        return path.parent

    def read(self, paths: Sequence[Path]) -> list[History]:
        directory = paths[0].parent
        history = History(directory.name, directory if len(paths) > 1 else paths[0], "TensorBoard events")
        files = sorted((list(_scalars(path)) for path in paths), key=lambda rows: rows[0][0] if rows else 0.0)
        for rows in files:
            for _, step, tag, value in rows:
                history.add(step, ((tag, value),))
        if len(paths) > 1:
            history.notes.append(f"{len(paths)} event files read as one run, in order of time")
        return [history]


def _scalars(path: Path) -> Iterator[tuple[float, int, str, float]]:
    """(wall time, step, tag, value) of every scalar, old style (simple_value) or new (tensor)."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
    except ImportError as error:
        raise MissingExtraError("tensorboard", "trackers") from error
    for record in _records(path):
        try:
            event = Event.FromString(record)
        except Exception as error:  # protobuf's DecodeError is no subclass of anything useful
            raise InputError(f"{path}: not an event file: {error}") from error
        for value in event.summary.value:
            scalar = _scalar(value)
            if scalar is not None:
                yield event.wall_time, event.step, value.tag, scalar


def _records(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    at = 0
    while at + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        if at + 16 + length > len(data):
            return
        yield data[at + 12 : at + 12 + length]
        at += 16 + length


def _scalar(value: Any) -> float | None:
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if not value.HasField("tensor") or value.tensor.tensor_shape.dim:
        return None
    tensor = value.tensor
    if tensor.float_val:
        return float(tensor.float_val[0])
    if tensor.double_val:
        return float(tensor.double_val[0])
    content = tensor.tensor_content
    return float(struct.unpack("<f", content)[0]) if tensor.dtype == 1 and len(content) == 4 else None
