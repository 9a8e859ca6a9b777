"""What a guard has seen, on disk: one JSON object per observation, append-only (`observations.jsonl`).

    {"id": 0, "step": 0, "select": 0.25, "n": 480, "passed": [...], "standard_error": 0.02, "report": ..., "entropy":
    ...,
     "action": "continue", "target_step": null, "reason": "", "evidence": {}, "learning_rate_scale": 1.0,
     "rate_before": 1.0}

`n` is the number of samples behind `select` all told. `id` counts up. Where a restarted run sees a step again, the
later line counts and the earlier ones from that step on are history: `crestfall analyze` and `crestfall replay` read
the file like any other log.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crestfall.core.errors import InputError
from crestfall.core.types import Decision, Evaluation, Record
from crestfall.store.files import writing
from crestfall.store.jsonl import lines_of, objects

_OWN = (
    "id",
    "step",
    "select",
    "n",
    "passed",
    "standard_error",
    "report",
    "action",
    "target_step",
    "reason",
    "evidence",
    "learning_rate_scale",
    "rate_before",
)


@dataclass(frozen=True)
class Observation:
    """One line: what was seen at a step, and what was decided on it."""

    id: int
    record: Record
    decision: Decision
    report: float | None = None
    samples: int | None = None
    rate_before: float = 1.0
    """What rollbacks had left of the learning rate when the observation was made, before its own decision."""

    @property
    def rate_after(self) -> float:
        return self.rate_before * self.decision.learning_rate_scale

    def to_json(self) -> dict[str, Any]:
        record = self.record
        seen: dict[str, Any] = {"id": self.id, "step": record.step, "select": record.value}
        if record.counts_P is not None:
            seen["passed"] = list(record.counts_P)
        if self.samples is not None:
            seen["n"] = self.samples
        if record.standard_error is not None:
            seen["standard_error"] = record.standard_error
        if self.report is not None:
            seen["report"] = self.report
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
            {key: float(value) for key, value in data.items() if key not in _OWN},
        )
        # Guards did not always know of learning rates.
        scale, rate = float(data.get("learning_rate_scale", 1.0)), float(data.get("rate_before", 1.0))
        decision = Decision(data["action"], data["target_step"], data["reason"], data["evidence"], scale)
        return cls(int(data["id"]), record, decision, data.get("report"), samples, rate)


def make_record(
    step: int,
    select: float | Sequence[int] | Evaluation,
    n: int | None,
    standard_error: float | None,
    signals: Mapping[str, float | None],
) -> Record:
    """The record of a score that comes as a mean (of `n` samples in all) or as counts per problem (of `n` samples
    each).

    The binomial standard error of a mean, sqrt(p (1 - p) / n), is an upper bound for a fixed set of problems of unequal
    difficulty. Signals that are None or not finite were not measured: they are left out.

    Raises:
        InputError: a score that is no number, or that does not go with `n`.
    """
    clean = {name: float(v) for name, v in signals.items() if v is not None and math.isfinite(v)}
    if bad := [name for name in clean if name in _OWN]:
        raise InputError(f"step {step}: a signal cannot be called {bad[0]!r}")
    if isinstance(select, Sequence | np.ndarray):
        counts = tuple(int(count) for count in select)
        if n is None or n < 1 or not counts or any(not 0 <= count <= n for count in counts):
            raise InputError(f"step {step}: counts per problem need n, the samples of each, and lie between 0 and n")
        select = Evaluation(counts, n)
    if isinstance(select, Evaluation):
        return Record.of(step, select, clean)
    value = float(select)
    if not math.isfinite(value):
        raise InputError(f"step {step}: select is {value}; a score has to be a finite number")
    if n is not None and standard_error is None:
        if n < 1 or not 0 <= value <= 1:
            raise InputError(f"step {step}: select={value} with n={n} is no share of n samples; give standard_error")
        # Half a sample towards 1/2 (Jeffreys): where all or nothing passed the score is still not certain.
        share = (value * n + 0.5) / (n + 1)
        standard_error = math.sqrt(share * (1 - share) / n)
    return Record(step, value, standard_error, signals=clean)


def samples_of(record: Record, n: int | None) -> int | None:
    """Samples behind a record's score all told, from the `n` that it was made with."""
    return record.n * len(record.counts_P) if record.counts_P is not None and record.n is not None else n


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
        """Raises RunDirectoryError where it cannot be written; it is kept and written with the next one then."""
        self.observations.append(observation)
        waiting = self.observations[self._written :]
        lines = "".join(json.dumps(item.to_json(), allow_nan=False) + "\n" for item in waiting)
        with writing(self.path):
            size = self.path.stat().st_size if self.path.exists() else 0
            try:
                with self.path.open("ab") as file:
                    file.write(lines.encode())
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                if self.path.exists():
                    os.truncate(self.path, size)
                raise
        self._written = len(self.observations)

    def active(self) -> list[Observation]:
        """The history without the tails that a restart from an earlier step has replaced."""
        kept: list[Observation] = []
        for observation in self.observations:
            while kept and kept[-1].record.step >= observation.record.step:
                kept.pop()
            kept.append(observation)
        return kept
