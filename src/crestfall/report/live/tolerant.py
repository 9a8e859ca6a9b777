"""A sink that may fail: a tracker that is down must not end a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from crestfall.store.events import Sink

_log = logging.getLogger("crestfall")


class Tolerant:
    """Passes events on until the sink fails; says so once, and lets it be."""

    def __init__(self, sink: Sink, name: str) -> None:
        self._sink: Sink | None = sink
        self._name = name

    def event(self, event: Mapping[str, Any]) -> None:
        if self._sink is None:
            return
        try:
            self._sink.event(event)
        except Exception as error:
            self._sink = None
            _log.warning("%s failed and is left out from here on: %s", self._name, error)

    def close(self) -> None:
        if self._sink is None:
            return
        try:
            self._sink.close()
        except Exception as error:
            _log.warning("%s could not be closed: %s", self._name, error)
