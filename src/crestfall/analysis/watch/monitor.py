"""A controller on a log that grows: what it says after every new evaluation, and once, that the score has fallen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from crestfall.analysis.advice.choose import Choice, Smoothed, choose
from crestfall.analysis.advice.saved import saved_beside
from crestfall.analysis.importers.text import run_name, unpacked_name
from crestfall.analysis.importers.trl_state import STATE, without_checkpoint
from crestfall.analysis.levels import moving_average, smoothing_width
from crestfall.analysis.replay import records_of
from crestfall.analysis.trajectory import FloatArray, Trajectory
from crestfall.analysis.watch.memory import Memory
from crestfall.control.base import Controller
from crestfall.control.fall_test import DIFFERENCES
from crestfall.core.types import Decision, Record

FEWEST_BROKEN = 3
"""Number of values in a row that have to be NaN or infinite before a run is said to be broken."""


@dataclass(frozen=True)
class Alarm:
    """The first thing that the controller had to say, after the evaluation at `step`. `what` happened, if training goes
    on."""

    step: int
    decision: Decision
    what: str = "has fallen"


@dataclass(frozen=True, eq=False)
class View:
    """One run as it is now. `steps_S`, `values_S` and `smooth_S`: the points that were judged. `alarm`: what the
    controller says of this stretch; `news`: nobody has been told yet. `waits`: what has to come before it is judged."""

    key: str
    name: str
    metric: str
    source: Path
    steps_S: np.ndarray
    values_S: FloatArray
    smooth_S: FloatArray
    noise_known: bool
    waits: str
    alarm: Alarm | None = None
    news: bool = False
    p_value: float | None = None
    stretch: int = 0

    @property
    def best(self) -> int:
        """Index of the best point of the smoothed curve."""
        return int(np.argmax(self.smooth_S))

    def best_saved(self) -> Choice:
        """The best of the checkpoints that lie beside the log now. Looks at the disk."""
        step = int(self.steps_S[self.best])
        return choose(saved_beside(self.source), Smoothed(self.steps_S, self.smooth_S, 0.0, step, (step, step)))

    def to_json(self) -> dict[str, Any]:
        alarm = None if self.alarm is None else {"step": self.alarm.step, **self.alarm.decision.to_json()}
        return {
            "path": str(self.source),
            "name": self.name,
            "metric": self.metric,
            "points": len(self.steps_S),
            "last_step": int(self.steps_S[-1]),
            "last_value": float(self.values_S[-1]),
            "smoothed": float(self.smooth_S[-1]),
            "best_step": int(self.steps_S[self.best]),
            "best_value": float(self.smooth_S[self.best]),
            "fell": self.alarm is not None,
            "alarm": alarm,
            "p_value": self.p_value,
            "noise_known": self.noise_known,
            "restarts": self.stretch,
            "waits": self.waits or None,
        }


class Monitor:
    """Monitor of one run. The controller starts anew with every stretch, on all points that still hold, and its
    false-alarm rate `alpha` is halved each time: a log that never goes back has alpha, any number of restarts at most 2
    alpha."""

    def __init__(self, key: str, controller: Controller, memory: Memory) -> None:
        self.key, self.memory = key, memory
        self._controller, self._past = controller, memory.past()
        self._judge = _Judge(controller, -1)

    def take(self, run: Trajectory, settled: bool) -> View | None:
        """Take in the log as it is now. `settled`: nobody has written to it for a while, so that its last step is
        complete even where every row is one sample of a step. None: there is no point yet."""
        records = records_of(run)
        if not settled and any("rows a step" in note for note in run.notes):
            records = records[:-1]
        waits = _waits(run)
        if waits:
            return _view(self.key, run, records, waits=waits) if records else None
        self._past.take(run.metric, records)
        if not self._past.records:
            return None
        self.memory.remember(self._past)
        if self._judge.stretch != self._past.stretch:
            self._judge = _Judge(_halved(self._controller, self._past.stretch), self._past.stretch)
        alarm = self._judge.feed(self._past.records) or _broken(run)
        news = alarm is not None and self.memory.tell(self._past.stretch)
        view = _view(self.key, run, self._past.records, waits=self._unseen(run))
        return replace(view, alarm=alarm, news=news, p_value=self._judge.p_value, stretch=self._past.stretch)

    def _unseen(self, run: Trajectory) -> str:
        """Note on falls that the controller cannot detect yet because the noise is unknown; empty if there is none."""
        count = len(self._past.records)
        if _noise_known(run) or count > DIFFERENCES or not self._controller.needs_noise:
            return ""
        return (
            f"the noise is unknown: {count} of the {DIFFERENCES + 1} evaluations that it takes to estimate it; "
            "--samples N gives it at once"
        )


class _Judge:
    """The controller on one stretch. It has nothing more to say once it would have acted."""

    def __init__(self, controller: Controller, stretch: int) -> None:
        self.stretch = stretch
        self.p_value: float | None = None
        self._alarm: Alarm | None = None
        self._controller, self._state = controller, controller.init()
        self._fed, self._ended = 0, False

    def feed(self, records: list[Record]) -> Alarm | None:
        """The records that are new; the first alarm of the stretch, if there has been one."""
        for record in records[self._fed :]:
            if self._ended:
                break
            self._state, decision = self._controller.decide(self._state, record)
            self.p_value = decision.evidence.get("p_value", self.p_value)
            said = decision.reason and not decision.changes_training
            if self._alarm is None and (decision.action != "continue" or said):
                self._alarm = Alarm(record.step, decision)
            self._ended = decision.action != "continue"
        self._fed = len(records)
        return self._alarm


def _view(key: str, run: Trajectory, records: Sequence[Record], waits: str) -> View:
    known, values_S = _noise_known(run), np.array([r.value for r in records])
    width = 1 if known else smoothing_width(len(records))
    return View(
        key=key,
        name=run.name,
        metric=run.metric,
        source=run.source,
        steps_S=np.array([r.step for r in records]),
        values_S=values_S,
        smooth_S=moving_average(values_S, width),
        noise_known=known,
        waits=waits,
    )


def _broken(run: Trajectory) -> Alarm | None:
    """The alarm for a score that is no number any more. A single such value may be followed by others."""
    if run.broken is None or run.broken.values < FEWEST_BROKEN:
        return None
    since = f"{run.metric} has been NaN or infinite since then"
    return Alarm(run.broken.step, Decision("continue", reason=since), "is broken")


def _halved(controller: Controller, stretch: int) -> Controller:
    if stretch and any(f.name == "alpha" for f in fields(controller)):
        return replace(controller, alpha=controller.alpha / 2**stretch)  # type: ignore[attr-defined, call-arg]
    return controller


def _noise_known(run: Trajectory) -> bool:
    return run.select is not None or run.standard_errors_S is not None


def _waits(run: Trajectory) -> str:
    """A training reward says little of the policy: where evaluations have begun, they are waited for."""
    if run.told or run.role == "evaluation":
        return ""
    coming = [name for name, curve in run.others.items() if curve.role == "evaluation"]
    return f"waits for more evaluations of {coming[0]}, which has too few to be tested" if coming else ""


def key_in(directory: Path, run: Trajectory) -> str:
    """The key under which a directory of states knows a run. One that was alone in its file when it was first seen
    keeps that key when others begin there (seeds, variants) and it gets a name of its own."""
    key, whole = key_of(run), key_of(replace(run, name=run_name(run.source)))
    if key == whole or Memory(directory, key).path.exists():
        return key
    values = dict(zip(run.steps_S.tolist(), run.values_S.tolist(), strict=True))
    known = Memory(directory, whole).past().records
    return whole if known and all(values.get(r.step) == r.value for r in known) else key


def key_of(run: Trajectory) -> str:
    """Key of a run across restarts of the watch: its place, and its name there without the folders that
    were put before it to tell it apart."""
    source = run.source if ":" in str(run.source) and not run.source.exists() else run.source.resolve()
    source = source.with_name(unpacked_name(source)) if source.name else source  # a rotation renames it
    words = run.name.split("/")
    if source.name == STATE and without_checkpoint(source) != source:
        source, words = without_checkpoint(source), [source.parent.parent.name]
    while len(words) > 1 and words[0] in source.parts:
        words = words[1:]
    return f"{source}::{'/'.join(words)}"
