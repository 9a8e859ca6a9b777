"""Replay: run a controller over the recorded curve of a finished run, to see what it would have decided.

A replay ends at the controller's first action: what a run would have done after a stop, after a rollback, or with
another learning rate, an optimizer that starts anew or averaged weights, is unknown. The controller is fed one record
after the other and never holds the rest, so it cannot look ahead.

The step that is kept was chosen on one curve; scored on the same curve its value is biased upwards. It is scored on a
second one where the run has one: our own run directories have `report`, of a foreign log the user may name another
metric.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from crestfall.analysis.trajectory import FloatArray, Series, Trajectory
from crestfall.control.base import Controller
from crestfall.core.types import Decision, Record


@dataclass(frozen=True)
class Replay:
    """`decision` is the first that changes the run, made at `acted_at`; where there was none, `acted_at` is None and
    `decision` the controller's last word. `alerted_at`: the first step at which it had something to say, if any.

    `kept_step`: whose weights the run would have had after the decision; where it changes how training goes on, those
    that the controller would have kept then.
    """

    decision: Decision
    acted_at: int | None
    alerted_at: int | None
    kept_step: int

    @property
    def beyond(self) -> str:
        """Effect of the decision that no log can show; "" for a stop at the weights of a step."""
        return self.decision.changes


@dataclass(frozen=True)
class Score:
    """A curve to judge by. `biased`: it is the very curve that the controller chose on."""

    name: str
    steps_S: np.ndarray
    values_S: FloatArray
    biased: bool

    def at(self, step: int) -> float:
        """The value at a step, or at the last one before it that was measured (the first, where there is none)."""
        return float(self.values_S[max(0, int(np.searchsorted(self.steps_S, step, side="right")) - 1)])


@dataclass(frozen=True)
class Oracles:
    """Scores with perfect foresight. `trace`: the peak of the curve that is chosen on, scored; `hindsight`:
    the best value of the curve that is scored on, an upper bound that no rule can promise."""

    trace_step: int
    trace: float
    hindsight_step: int
    hindsight: float


def replay(controller: Controller, records: Iterable[Record]) -> Replay:
    """Raises ValueError if there are no records."""
    state, alerted, record = controller.init(), None, None
    for record in records:
        state, decision = controller.decide(state, record)
        if alerted is None and decision.reason:
            alerted = record.step
        if decision.action != "continue" or decision.changes_training:
            kept = controller.last(state, record.step) if decision.action == "continue" else decision
            return Replay(decision, record.step, alerted, _target(kept, record.step))
    if record is None:
        raise ValueError("nothing to replay: the curve has no points")
    last = controller.last(state, record.step)
    return Replay(last, None, alerted, _target(last, record.step))


def _target(decision: Decision, step: int) -> int:
    return step if decision.target_step is None else decision.target_step


def records_of(trajectory: Trajectory) -> list[Record]:
    """The records that a live controller would have been given, `report` left out."""
    signals: dict[int, dict[str, float]] = {}
    for name, series in trajectory.signals.items():
        for step, value in zip(series.steps_S.tolist(), series.values_S.tolist(), strict=True):
            signals.setdefault(step, {})[name] = value
    errors = trajectory.standard_errors_S
    records = []
    for i, step in enumerate(trajectory.steps_S.tolist()):
        at_step = signals.get(step, {})
        if trajectory.select is not None:
            records.append(Record.of(step, trajectory.select[i], at_step))
        else:
            error = None if errors is None else float(errors[i])
            records.append(Record(step, float(trajectory.values_S[i]), error, signals=at_step))
    return records


def score_of(trajectory: Trajectory, second: tuple[str, Series] | None = None) -> Score:
    """The curve that scores the kept step: the second metric that was asked for, else `report`, else the curve
    itself."""
    if second is not None:
        return Score(second[0], second[1].steps_S, second[1].values_S, biased=False)
    if trajectory.scored_S is not None:
        return Score("report", trajectory.steps_S, trajectory.scored_S, biased=False)
    return Score(trajectory.metric, trajectory.steps_S, trajectory.values_S, biased=True)


def oracles(trajectory: Trajectory, score: Score) -> Oracles:
    """Both oracles; of equal values the earliest step counts."""
    trace, best = int(np.argmax(trajectory.values_S)), int(np.argmax(score.values_S))
    trace_step = int(trajectory.steps_S[trace])
    return Oracles(trace_step, score.at(trace_step), int(score.steps_S[best]), float(score.values_S[best]))
