"""A run as the tests of causes see it: what became of its score and when, and its companion signals up to then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from crestfall.analysis.classify import FALLEN, Classification
from crestfall.analysis.course import Course, curve_of
from crestfall.analysis.leads import FALSE_ALARMS
from crestfall.analysis.levels import moving_average
from crestfall.analysis.trajectory import FloatArray, Series, Trajectory
from crestfall.core.signals import SIGNALS

Kind = Literal["fell", "crashed", "stalled", "split", "rose", "fine"]
NEAR_THE_TOP = 0.9
"""Share of the scale: a score that starts there and stays has nothing to gain, and nothing is wrong."""


@dataclass(frozen=True, eq=False)
class Case:
    """`kind`: `crashed` runs came back; `stalled` ones never rose; of `split` ones a part of the reward
    fell; `rose` may have been held back; nothing is asked of `fine` ones.

    Steps, all of the log: companions are looked at from `first` on (a quarter of the way to the fall, start-ups are no
    evidence), the fall begins at `onset`, half of it is over at `middle`, 90% at `done`. Of a stalled run all three are
    its end. What is logged with a step is of the weights before it, and its score of those after: companions may be one
    step late. `others`: metric, role and class of the run's other curves."""

    trajectory: Trajectory
    kind: Kind
    first: int
    onset: int
    middle: int
    done: int
    steps_S: FloatArray
    smooth_S: FloatArray
    fall: float
    others: Sequence[tuple[str, str, Classification]] = ()
    alpha: float = FALSE_ALARMS
    """False-alarm rate of one test: that of a run, divided among the causes that can be tested."""

    @cached_property
    def signals(self) -> Mapping[str, Series]:
        """The log's as far as they are what their names say, and what can be worked out from it: shares of verdicts,
        sizes of steps."""
        logged = {name: _comparable(name, series) for name, series in self.trajectory.signals.items()}
        sound = {name: series for name, series in logged.items() if series is not None}
        if "rewarded" in sound:
            sound["reward"] = sound["rewarded"]  # a trainer logs what it was given
        return {**sound, **_verdict_shares(self.trajectory), **_step_sizes(sound)}

    def until(self, name: str, step: int, start_up: bool = False) -> Series:
        """A signal up to a step, and the first value after it. `start_up`: from the log's begin."""
        series = self.signals[name]
        late = series.steps_S[series.steps_S > step]
        last = step if not len(late) or self.kind in ("stalled", "rose") else int(late[0])
        return series.within(int(self.steps_S[0]) if start_up else self.first, last)

    def score(self, step: int) -> float:
        return float(np.interp(step, self.steps_S, self.smooth_S))

    @property
    def before(self) -> str:
        """Description of the time up to which evidence counts."""
        return "before the fall" if self.kind in ("fell", "crashed") else "over the run"


def case_of(
    trajectory: Trajectory,
    c: Classification,
    course: Course | None,
    others: Sequence[tuple[str, str, Classification]],
) -> Case:
    """`course`: of the fall, where there is a real one."""
    curve_S, first_S = curve_of(trajectory.judged_S)
    steps_S = trajectory.steps_S[first_S].astype(np.float64)
    smooth_S = moving_average(curve_S, c.smoothing)
    began, done = len(smooth_S) - 1, len(smooth_S) - 1
    kind: Kind = "fine"
    if course is not None and c.label in FALLEN:
        kind, began, done = "fell", course.began, course.done
    elif c.label == "crash_and_recovery":
        kind, done = "crashed", c.crash.index
        above = np.flatnonzero(smooth_S[: done + 1] > smooth_S[done] + c.crash.depth / 2)
        began = int(above[-1]) + 1 if len(above) else 0
    elif c.label == "flat" and smooth_S[0] < NEAR_THE_TOP * c.scale:
        kind = "stalled"
    elif any(role == "part" and of.label in FALLEN for _, role, of in others):
        kind = "split"
    elif c.label == "rise":
        kind = "rose"
    start = float(smooth_S[: began + 1].max())
    half = np.flatnonzero(smooth_S[began : done + 1] <= (start + smooth_S[done]) / 2)
    middle = began + int(half[0]) if len(half) else done
    begin = 0 if kind in ("stalled", "rose") else began // 4
    return Case(
        trajectory=trajectory,
        kind=kind,
        first=int(steps_S[begin]),
        onset=int(steps_S[began]),
        middle=int(steps_S[middle]),
        done=int(steps_S[done]),
        steps_S=steps_S,
        smooth_S=smooth_S,
        fall=start - float(smooth_S[done]),
        others=others,
    )


def _comparable(name: str, series: Series) -> Series | None:
    """None: a count where a share is expected. A mismatch may be logged as a ratio of probabilities (NeMo-RL): its
    logarithm is what others log."""
    if not len(series):
        return None
    if name in SIGNALS and SIGNALS[name].unit == "share" and (series.values_S.max() > 1 or series.values_S.min() < 0):
        return None
    if name.startswith("kl_") and not series.values_S.any():
        return None  # what trainers log where no KL is measured
    if name == "mismatch" and series.values_S.min() >= 1:
        return Series(series.steps_S, np.log(series.values_S))
    return series


def _verdict_shares(trajectory: Trajectory) -> dict[str, Series]:
    """Shares of the training samples of one of our campaigns that ran out of time, or met a fault of the grader."""
    if trajectory.facts is None or not trajectory.facts.verdicts:
        return {}
    shares: dict[str, dict[int, float]] = {"timeouts": {}, "grader_faults": {}}
    for step, counts in trajectory.facts.verdicts.items():
        total = sum(counts.values())
        if total:
            shares["timeouts"][step] = counts.get("time_limit", 0) / total
            shares["grader_faults"][step] = (counts.get("infra", 0) + counts.get("unsupported", 0)) / total
    return {name: Series.of(points) for name, points in shares.items()}


def _step_sizes(signals: Mapping[str, Series]) -> dict[str, Series]:
    """`step_kl`: how far one step moved the policy, KL in nats per token, at least.

    The root of a small KL is a distance: KL(old || new) >= (sqrt(KL_t) - sqrt(KL_t-1))^2 with the KL to a policy that
    stays where it is. Where steps are not logged one by one it is the mean step of the stretch. Single outliers are
    taken out first.
    """
    sizes: dict[int, float] = {}
    for name in ("kl_base", "kl_start"):
        series = signals.get(name)
        if series is None or len(series) < 2:
            continue
        roots_S = np.sqrt(np.maximum(_without_outliers(series.values_S), 0.0))
        moved_S = (np.diff(roots_S) / np.diff(series.steps_S)) ** 2
        for step, moved in zip(series.steps_S[1:].tolist(), moved_S.tolist(), strict=True):
            sizes[step] = max(sizes.get(step, 0.0), moved)
    return {"step_kl": Series.of(sizes)} if sizes else {}


def _without_outliers(values_S: FloatArray) -> FloatArray:
    """The median of each value and its neighbours: jumps and trends stay, the ends as they are."""
    if len(values_S) < 10:
        return values_S
    inner_S = np.median(np.stack([values_S[:-2], values_S[1:-1], values_S[2:]]), axis=0)
    return np.concatenate([values_S[:1], inner_S, values_S[-1:]])
