"""Log of a guard's observations: one JSON object per observation, append-only (`observations.jsonl`).

    {"id": 0, "step": 0, "select": 0.25, "n": 480, "passed": [...], "standard_error": 0.02, "report": ..., "entropy":
    ...,
     "action": "continue", "target_step": null, "reason": "", "evidence": {}, "learning_rate_scale": 1.0,
     "rate_before": 1.0}

`n` is the number of samples behind `select` all told. `score`: what was given, where `select` is it with its sign
changed (a loss). `not_finite`: "score" or "weights", where one of them was NaN or infinite; `select` is the worst score
then. `id` counts up. Where a restarted run sees a step again, the later line counts and the earlier ones from that step
on are history: `crestfall analyze` and `crestfall replay` read the file like any other log.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crestfall.core.errors import InputError
from crestfall.core.types import Decision, Record
from crestfall.guard.scores import RESERVED, Scores
from crestfall.store.files import sync, writing
from crestfall.store.jsonl import lines_of, objects


@dataclass(frozen=True)
class Observation:
    """One line of the log: the scores of a step and the decision made on them."""

    id: int
    scores: Scores
    decision: Decision
    rate_before: float = 1.0
    """Learning-rate multiplier from earlier decisions, at the time of the observation and before its own decision."""

    @property
    def record(self) -> Record:
        return self.scores.record

    @property
    def score(self) -> float:
        """The score as the caller passed it: a loss keeps its own sign."""
        return self.record.value if self.scores.raw is None else self.scores.raw

    @property
    def shown(self) -> bool:
        """Whether the controller saw the observation: a score of weights that are not finite means nothing."""
        return self.scores.not_finite != "weights"

    @property
    def rate_after(self) -> float:
        return self.rate_before * self.decision.learning_rate_scale

    def to_json(self) -> dict[str, Any]:
        record, scores = self.record, self.scores
        seen: dict[str, Any] = {"id": self.id, "step": record.step, "select": record.value}
        if record.counts_P is not None:
            seen["passed"] = list(record.counts_P)
        beside = {
            "n": scores.samples,
            "standard_error": record.standard_error,
            "report": scores.report,
            "score": scores.raw,
            "not_finite": scores.not_finite or None,
        }
        seen |= {name: value for name, value in beside.items() if value is not None}
        return seen | dict(record.signals) | self.decision.to_json() | {"rate_before": self.rate_before}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Observation:
        counts, samples = data.get("passed"), data.get("n")
        record = Record(
            int(data["step"]),
            float(data["select"]),
            data.get("standard_error"),
            None if counts is None else tuple(counts),
            None if counts is None else int(data["n"]) // len(counts),
            {key: float(value) for key, value in data.items() if key not in RESERVED},
        )
        rate = float(data.get("rate_before", 1.0))  # guards did not always know of learning rates
        decision = Decision.from_json(data)
        scores = Scores(record, data.get("report"), samples, data.get("score"), data.get("not_finite", ""))
        return cls(int(data["id"]), scores, decision, rate)


@dataclass
class Journal:
    """The file and its lines. Lines that could not be written (a full disk) wait for the next `append`."""

    path: Path
    observations: list[Observation] = field(default_factory=list)
    _written: int = 0

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Read what is there; a torn last line is cut off, as a crash leaves it.

        Raises:
            InputError: any other line is not an observation.
        """
        journal = cls(path)
        raw = path.read_bytes() if path.exists() else b""
        whole = raw[: raw.rfind(b"\n") + 1]
        for number, data in objects(lines_of(whole), path):
            try:
                observation = Observation.from_json(data)
                if observation.id < journal.next_id:
                    raise ValueError(f"id {observation.id} after {journal.next_id - 1}")
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}:{number}: not an observation of a guard ({error!r})") from None
            journal.observations.append(observation)
        journal._written = len(journal.observations)
        if whole != raw:
            with writing(path):
                os.truncate(path, len(whole))
        return journal

    @property
    def next_id(self) -> int:
        return self.observations[-1].id + 1 if self.observations else 0

    def append(self, observation: Observation) -> None:
        """Write a line: safe from the death of the process, from a power cut after `sync`.

        Raises RunDirectoryError where it cannot be written; it is kept and written with the next one then.
        """
        self.observations.append(observation)
        new = not self.path.exists()  # somebody may have deleted it
        waiting = self.observations[0 if new else self._written :]
        lines = "".join(json.dumps(item.to_json(), allow_nan=False) + "\n" for item in waiting)
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            size = 0 if new else self.path.stat().st_size
            try:
                with self.path.open("ab") as file:
                    file.write(lines.encode())
                    file.flush()
            except OSError:
                if self.path.exists():
                    os.truncate(self.path, size)
                raise
        self._written = len(self.observations)

    def sync(self) -> None:
        """Have what was written survive a power cut. Takes as long as the disk is busy."""
        with writing(self.path):
            sync(self.path)
