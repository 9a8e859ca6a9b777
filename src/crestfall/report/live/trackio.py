"""A run in trackio, Hugging Face's local-first tracker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from crestfall.core.errors import MissingExtraError
from crestfall.report.live.axis import Point, PointSink


class TrackioSink(PointSink):
    """One trackio run of that project and name; the same names again go on in it."""

    def __init__(
        self,
        name: str,
        config: Mapping[str, Any],
        *,
        project: str = "crestfall",
        earlier: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        try:
            import trackio
        except ImportError:
            raise MissingExtraError("trackio", "trackers") from None
        self._run = trackio.init(
            project, name=name, config=dict(config), resume="allow", embed=False, auto_log_gpu=False, auto_log_cpu=False
        )
        super().__init__(earlier)

    def log(self, point: Point) -> None:
        self._run.log(dict(point.values), step=point.position)
        if point.notice:
            self._run.alert(point.notice)

    def close(self) -> None:
        self._run.finish()
