"""Choose a saved checkpoint: the one at the peak or, where none was saved there, the best of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crestfall.analysis.advice.saved import Found, Saved
from crestfall.analysis.trajectory import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Smoothed:
    """The curve that checkpoints are scored by. `error`: of one of its points. `peak_steps`: the first and last step
    that are as good as the peak at `peak_step`."""

    steps_S: IntArray
    values_S: FloatArray
    error: float
    peak_step: int
    peak_steps: tuple[int, int]

    def at(self, step: int) -> float:
        """Between evaluations on the line that joins them."""
        return float(np.interp(step, self.steps_S, self.values_S))

    def covers(self, step: int) -> bool:
        return bool(self.steps_S[0] <= step <= self.steps_S[-1])


@dataclass(frozen=True)
class Choice:
    """`take` is None where nothing can be named, and `note` then says why. `score`: of `take`, on the smoothed curve.
    `as_good`: others that are so within noise. `at_peak`: one of the steps that are as good as the peak was saved.
    `peak_steps`: those steps, the first and the last."""

    take: Saved | None
    score: float | None = None
    as_good: tuple[Saved, ...] = ()
    at_peak: bool = False
    peak_steps: tuple[int, int] = (0, 0)
    saved: int = 0
    note: str = ""

    def lines(self) -> list[str]:
        """Lines for people: the checkpoint to take, and those that are as good."""
        if self.take is None:
            return [self.note]
        first, last = self.peak_steps
        peak = f"step {first}" if first == last else f"steps {first} to {last}"
        where = "at the peak" if self.at_peak else f"the best of {self.saved} saved; none was at the peak ({peak})"
        lines = [f"{self.take.path} (step {self.take.step}, {self.score:.3f}: {where})"]
        if self.as_good:
            steps = ", ".join(str(s.step) for s in self.as_good[:8])
            more = f" and {len(self.as_good) - 8} more" if len(self.as_good) > 8 else ""
            lines.append(f"as good within noise: step{'s' if len(self.as_good) > 1 else ''} {steps}{more}")
        return lines + ([self.note] if self.note else [])

    def to_json(self) -> dict[str, Any]:
        def plain(saved: Saved) -> dict[str, Any]:
            return {"step": saved.step, "path": str(saved.path)}

        return {
            "take": None if self.take is None else plain(self.take) | {"score": self.score},
            "at_peak": self.at_peak,
            "as_good": [plain(s) for s in self.as_good],
            "saved": self.saved,
            "note": self.note,
        }


def choose(found: Found, curve: Smoothed) -> Choice:
    """Choose the checkpoint nearest to the peak within the peak's steps; if there is none, the one that scores best on
    the smoothed curve, the nearest to the peak of equals."""
    first, last = curve.peak_steps
    if not found.saved:
        peak = f"step {curve.peak_step}" + (f" (steps {first} to {last} are as good)" if first < last else "")
        why = found.note or "no saved checkpoint was found beside the log"
        return Choice(None, peak_steps=curve.peak_steps, note=f"{why}; look for one of {peak}")
    inside = [s for s in found.saved if curve.covers(s.step)]
    beyond = tuple(s for s in found.saved if not curve.covers(s.step))
    if not inside:
        steps = f"{found.saved[0].step} to {found.saved[-1].step}"
        logged = f"{curve.steps_S[0]} to {curve.steps_S[-1]}"
        note = f"the {len(found.saved)} saved checkpoints are of steps {steps}, the log of {logged}: none can be scored"
        return Choice(None, peak_steps=curve.peak_steps, saved=len(found.saved), note=note)
    at_peak = [s for s in inside if first <= s.step <= last]
    if at_peak:
        take = min(at_peak, key=lambda s: (abs(s.step - curve.peak_step), s.step))
        good = at_peak
    else:
        take = max(inside, key=lambda s: (curve.at(s.step), -abs(s.step - curve.peak_step)))
        good = [s for s in inside if curve.at(s.step) >= curve.at(take.step) - 1.96 * curve.error]
    note = ""
    if beyond:
        note = f"{_count(beyond)} of steps that the log does not cover ({_steps(beyond)}): not scored"
    return Choice(
        take,
        curve.at(take.step),
        tuple(s for s in good if s != take),
        bool(at_peak),
        curve.peak_steps,
        len(found.saved),
        note,
    )


def _count(saved: Sequence[Saved]) -> str:
    return "one saved checkpoint is" if len(saved) == 1 else f"{len(saved)} saved checkpoints are"


def _steps(saved: Sequence[Saved]) -> str:
    return ", ".join(str(s.step) for s in saved[:4]) + (", ..." if len(saved) > 4 else "")
