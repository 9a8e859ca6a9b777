"""Records of a watched log so far, kept across rotation, truncation, and restarts of the job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from crestfall.control.fall_test import known_noise
from crestfall.core.types import Record

REMEMBERED = 256
"""Points that are kept on the disk: more than a test of the fall looks back."""


@dataclass
class Past:
    """`records`: all that was shown and still holds. `stretch`: how often the log went back and replaced points that
    had been shown (0: never)."""

    metric: str | None = None
    records: list[Record] = field(default_factory=list)
    stretch: int = 0

    def take(self, metric: str, records: Sequence[Record]) -> None:
        """Take in a reading of the whole log as it is now.

        A log that begins after points that are known (it was rotated) goes on from them. One that holds fewer points
        than are known, all of them the same, has been cut: what is known stays. One that differs in a point that is
        known was restarted from there: what was known from that step on is replaced, and a new stretch begins.
        """
        if not records:
            return
        if self.metric not in (None, metric):
            self.metric, self.records = metric, list(records)
            self.stretch += 1
            return
        self.metric = metric
        old, new = self.records, merged(self.records, records)
        shown = [r for r in new if old and r.step >= old[0].step]
        common = _common(old, shown)
        if old and common == len(shown):
            return
        if common < len(old):
            self.stretch += 1
        self.records = new

    def to_json(self) -> dict[str, Any]:
        points = [[r.step, r.value, known_noise(r)] for r in self.records[-REMEMBERED:]]
        return {"metric": self.metric, "stretch": self.stretch, "points": points}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Past:
        records = [Record(int(step), float(value), error) for step, value, error in data["points"]]
        return cls(data["metric"], records, int(data["stretch"]))


def merged(old: Sequence[Record], new: Sequence[Record]) -> list[Record]:
    """`new`, after those old points that lie before its first step."""
    return [*(r for r in old if r.step < new[0].step), *new]


def _common(old: Sequence[Record], new: Sequence[Record]) -> int:
    """Number of leading records that are equal in both."""
    differ = ((a.step, a.value) != (b.step, b.value) for a, b in zip(old, new, strict=False))
    return next((i for i, different in enumerate(differ) if different), min(len(old), len(new)))
