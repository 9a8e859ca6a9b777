"""One step axis for a whole chain, for trackers that want their steps to grow.

The axis counts evaluations: step 0 of a campaign is a point of its own, and a rollback moves nothing, because after it
the campaign's step counter goes on. What a tracker is given never goes back (W&B drops such points, others draw loops).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crestfall.core.types import Decision


@dataclass(frozen=True)
class Point:
    """Numbers at a place on the axis; `notice`: something that a person may want to be told at once."""

    position: int
    values: Mapping[str, float]
    notice: str = ""


class StepAxis:
    """Turns a run's events into points. Give it the events of an earlier process first; their points count and are not
    made."""

    def __init__(self, earlier: Iterable[Mapping[str, Any]] = ()) -> None:
        self._position = [event["type"] for event in earlier].count("step") - 1

    def point(self, event: Mapping[str, Any]) -> Point | None:
        """Point for a tracker; None for events without numbers."""
        kind = event["type"]
        if kind == "step":
            self._position += 1
            decision = Decision.from_json(event["decision"])
            notice = decision.reason if decision.action == "continue" else ""
            if decision.changes_training:
                notice = f"{decision.changes}: {decision.reason}"
            return Point(self._position, _step_values(event), notice)
        if kind == "rollback":
            notice = f"rollback to step {event['target_step']}: {event['reason']}"
            return Point(self._here, {"rollback/target_step": event["target_step"]}, notice)
        if kind == "final":
            return Point(self._here, {f"final/{event['when']}": event["evaluation"]["pass_at_1"]})
        if kind == "campaign_ended":
            numbers = {name: event[name] for name in ("peak", "peak_step", "end", "handed_on_step", "steps")}
            # A stop is told here, where it can be told from a budget that is used up.
            notice = "" if event["stopped_by"] == "budget" else f"stop: {event['stopped_by']}"
            return Point(self._here, {f"campaign/{name}": value for name, value in numbers.items()}, notice)
        return None

    @property
    def _here(self) -> int:
        return max(self._position, 0)


class PointSink(ABC):
    """A sink of a run's events to which they come as points."""

    def __init__(self, earlier: Iterable[Mapping[str, Any]] = ()) -> None:
        self._axis = StepAxis(earlier)

    def event(self, event: Mapping[str, Any]) -> None:
        point = self._axis.point(event)
        if point is not None:
            self.log(point)

    @abstractmethod
    def log(self, point: Point) -> None: ...

    @abstractmethod
    def close(self) -> None: ...


def _step_values(event: Mapping[str, Any]) -> dict[str, float]:
    values = {"campaign/number": event["campaign"], "campaign/step": event["step"]}
    for name in ("select", "report"):
        for key in ("pass_at_1", "competence", "greedy_pass_at_1"):
            if key in event.get(name, {}):
                values[f"{name}/{key}"] = event[name][key]
    values |= {f"signals/{name}": value for name, value in event.get("signals", {}).items()}
    graded = sum(event.get("verdicts", {}).values())
    values |= {f"verdicts/{name}": count / graded for name, count in event.get("verdicts", {}).items()}
    return values
