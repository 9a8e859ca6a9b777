"""Everything that may announce a fall, through one pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crestfall.analysis.bootstrap import Interval
from research.early_warning.combined import AHEAD, combined_alarms
from research.early_warning.detector import alarms, fitted
from research.early_warning.outcome import Outcome, outcome
from research.early_warning.panel import FloatArray, IntArray, Panel, change
from research.early_warning.placebo import clock, noise, permuted, random_walk, swapped
from research.early_warning.public import public_alarms
from research.warning import Moment, warning_sign

PLACEBOS = 20
SHIFTS = 3
COMBINED, PICKED = "all signals together", "the signal that is best elsewhere"
Kind = Literal["signal", "several", "public", "placebo"]


@dataclass(frozen=True, eq=False)
class Entry:
    """`swapped`: what the same signal announces above false alarms if chains of one arm exchange it; None where that
    was not asked."""

    name: str
    kind: Kind
    alarm_C: IntArray
    outcome: Outcome
    swapped: float | None = None
    within: Interval | None = None
    """AUC among landmarks of one arm and step, of those with a fall within three steps (0.5: chance, whatever the
    threshold; below 0.5: low values warn)."""


def signals_of(panel: Panel) -> dict[str, FloatArray]:
    """Levels and changes."""
    recorded = panel.recorded()
    changes = {f"{name}, change": change(values) for name, values in recorded.items() if name != "learning_rate"}
    return recorded | changes


def single(signals: Mapping[str, FloatArray], panel: Panel) -> list[Entry]:
    """Every signal by itself, the best first."""
    out = []
    for name, values_CS in signals.items():
        alarm_C = alarms(values_CS, panel)
        within = warning_sign(name, moments_of(name, values_CS, panel)).within
        others = [outcome(alarms(swapped(values_CS, panel, shift), panel), panel).worth for shift in range(SHIFTS)]
        out.append(Entry(name, "signal", alarm_C, outcome(alarm_C, panel), float(np.mean(others)), within))
    return sorted(out, key=lambda entry: (-entry.outcome.worth, entry.name))


def moments_of(name: str, values_CS: FloatArray, panel: Panel) -> list[Moment]:
    """The landmarks at which a signal has a value."""
    out = []
    for c, s in zip(*np.nonzero(panel.open_CS & ~np.isnan(values_CS)), strict=True):
        falls = bool(0 < panel.falls_C[c] <= s + AHEAD)
        out.append(
            Moment(str(panel.arms_C[c]), panel.chains[c].seed, 0, int(s), falls, {name: float(values_CS[c, s])}, {})
        )
    return out


def several(signals: Mapping[str, FloatArray], panel: Panel) -> list[Entry]:
    made = {COMBINED: combined_alarms(signals, panel), PICKED: picked_alarms(signals, panel)}
    return [Entry(name, "several", alarm_C, outcome(alarm_C, panel)) for name, alarm_C in made.items()]


def public(panel: Panel) -> list[Entry]:
    made = public_alarms(panel.recorded(), panel)
    return [Entry(name, "public", alarm_C, outcome(alarm_C, panel)) for name, alarm_C in made.items()]


def placebos(signals: Mapping[str, FloatArray], panel: Panel) -> dict[str, list[Entry]]:
    """By kind: the clock, noise, random walks, and each signal with the values of other chains."""
    made = {
        "the clock (step number)": [clock(panel)],
        "white noise": [noise(panel, number) for number in range(PLACEBOS)],
        "random walk": [random_walk(panel, number) for number in range(PLACEBOS)],
        "signals of other chains": [permuted(v, panel, number) for number, v in enumerate(signals.values())],
    }
    return {kind: [_placebo(kind, values, panel) for values in several] for kind, several in made.items()}


def _placebo(kind: str, values_CS: FloatArray, panel: Panel) -> Entry:
    alarm_C = alarms(values_CS, panel)
    return Entry(kind, "placebo", alarm_C, outcome(alarm_C, panel))


def picked_alarms(signals: Mapping[str, FloatArray], panel: Panel) -> IntArray:
    """For each left-out regime the signal that announces most above false alarms in the others."""
    out_C = np.zeros(len(panel.chains), dtype=np.int64)
    for inside_C, others_C in panel.held_out():
        tried = [fitted(values_CS, panel, others_C) for values_CS in signals.values()]
        out_C[inside_C] = max(tried, key=lambda alarm_C: _worth(alarm_C, others_C, panel))[inside_C]
    return out_C


def _worth(alarm_C: IntArray, among_C: np.ndarray, panel: Panel) -> float:
    falls_C, quiet_C = among_C & panel.warnable_C, among_C & panel.quiet_C
    return float(np.mean(alarm_C[falls_C] > 0) if falls_C.any() else 0) - float(np.mean(alarm_C[quiet_C] > 0))
