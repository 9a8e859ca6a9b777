"""TensorBoard event files: OpenRLHF, verl, TRL and most others. All scalars of all files, none sampled.

The record framing (length, checksum, bytes, checksum) is read here and the messages by tensorboard's own protocol
classes: tensorboard's loaders check sums in Python, a hundred times slower. A torn last record is passed over.

Files of one directory are one run where they continue each other (a restart) or hold different tags; files that
overlap in time, or start again from the beginning, are runs of their own.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from crestfall.analysis.importers.base import History
from crestfall.analysis.importers.runs import FALSE_START, NEW_RUN
from crestfall.analysis.importers.text import content
from crestfall.core.errors import InputError, MissingExtraError
from crestfall.core.registry import register


@register("importer", "tensorboard")
@dataclass(frozen=True)
class TensorBoard:
    """TensorBoard event files of one directory, restarts and all."""

    order: ClassVar[int] = 0

    def claims(self, path: Path, head: bytes) -> bool:
        return ".tfevents." in path.name

    def group(self, path: Path) -> Hashable:
        return path.parent

    def read(self, paths: Sequence[Path]) -> list[History]:
        directory = paths[0].parent
        files = sorted((f for f in map(_File.of, paths) if f.tags), key=lambda f: (f.first, f.path.name))
        runs: list[list[_File]] = []
        for file in files:
            run = next((run for run in reversed(runs) if file.belongs_to(run)), None)
            runs.append([file]) if run is None else run.append(file)
        histories = []
        for number, run in enumerate(runs, start=1):
            name = directory.name if len(runs) == 1 else f"{directory.name} #{number}"
            history = History(name, directory if len(runs) == 1 else run[0].path, "TensorBoard events")
            if len(runs) > 1:
                history.notes.append(f"{len(files)} event files in one directory are {len(runs)} runs")
            if len(run) > 1:
                history.notes.append(f"{len(run)} event files were read as one run, in order of time")
            for tag in dict.fromkeys(tag for file in run for tag in file.tags):
                points = [point for file in run for point in file.tags.get(tag, ())]
                history.add(tag, [step for step, _ in points], [value for _, value in points])
            histories.append(history)
        return histories


_SESSION = "_hparams_/"


@dataclass
class _File:
    """The scalars of one file, per tag in order, and the wall times of its first and last one."""

    path: Path
    tags: dict[str, list[tuple[int, float]]]
    first: float
    last: float

    @classmethod
    def of(cls, path: Path) -> _File:
        tags: dict[str, list[tuple[int, float]]] = {}
        times, session = [0.0], False
        for time, step, tag, value in _values(path):
            session |= tag.startswith(_SESSION)
            if (scalar := _scalar(value)) is not None:
                times.append(time)
                tags.setdefault(tag, []).append((step, scalar))
        if session and all(len(points) == 1 for points in tags.values()):
            tags = {}  # add_hparams writes a last value of each metric into a folder of its own
        return cls(path, tags, min(times[1:], default=0.0), max(times))

    def belongs_to(self, run: Sequence[_File]) -> bool:
        """Whether this later file continues a run, or logs other tags of it."""
        shared = [tag for tag in self.tags if any(tag in file.tags for file in run)]
        if not shared:
            return True
        tag = max(shared, key=lambda t: len(self.tags[t]))
        before = np.array([step for file in run for step, _ in file.tags.get(tag, ())])
        begins, low, high = self.tags[tag][0][0], before.min(), before.max()
        if self.first < max(file.last for file in run if tag in file.tags) and begins <= high:
            return False
        again = begins <= low + NEW_RUN * (high - low) and high > low + 2
        return not again or len(before) < FALSE_START * len(self.tags[tag])


def _values(path: Path) -> Iterator[tuple[float, int, str, Any]]:
    """(wall time, step, tag, value) of everything that was logged."""
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
            yield event.wall_time, event.step, value.tag, value


def _records(path: Path) -> Iterator[bytes]:
    data = content(path)
    at = 0
    while at + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        if at + 16 + length > len(data):
            return
        yield data[at + 12 : at + 12 + length]
        at += 16 + length


def _scalar(value: Any) -> float | None:
    """The number in a value, old style (simple_value) or new (tensor); None: it is none."""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if not value.HasField("tensor"):
        return None
    from tensorboard.util.tensor_util import make_ndarray

    array = make_ndarray(value.tensor)
    return float(array.item()) if array.size == 1 and array.dtype.kind in "fiub" else None
