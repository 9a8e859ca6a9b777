"""A run in TensorBoard, written with TensorBoard's own package and without torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from crestfall.core.errors import MissingExtraError
from crestfall.report.live.axis import Point, PointSink


class TensorBoardSink(PointSink):
    """Event files in `directory`; a resumed run adds one that goes on where the last one ended."""

    def __init__(self, directory: Path, earlier: Iterable[Mapping[str, Any]] = ()) -> None:
        try:
            from tensorboard.summary import Writer
        except ImportError:
            raise MissingExtraError("tensorboard", "trackers") from None
        self._writer = Writer(str(directory))
        super().__init__(earlier)

    def log(self, point: Point) -> None:
        for name, value in point.values.items():
            self._writer.add_scalar(name, float(value), point.position)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
