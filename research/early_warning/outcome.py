"""What alarms were worth: falls announced, false alarms, steps of lead, and points saved by acting on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crestfall.control.early_stop import EarlyStop
from crestfall.core.rng import stream
from crestfall.core.types import Record
from research.early_warning.panel import BoolArray, FloatArray, IntArray, Panel

RESAMPLES = 2000


@dataclass(frozen=True)
class Outcome:
    """Shares with 95% intervals that resample whole regimes. `announced`: of the falls with a landmark before;
    `false_alarms`: of the chains that do not fall. `lead`: steps from alarm to fall, median; None without any."""

    announced: float
    announced_interval: tuple[float, float]
    false_alarms: float
    false_alarms_interval: tuple[float, float]
    lead: float | None

    @property
    def worth(self) -> float:
        """Falls announced above false alarms: 0 for what knows nothing."""
        return self.announced - self.false_alarms


def outcome(alarm_C: IntArray, panel: Panel) -> Outcome:
    early_C = (alarm_C > 0) & panel.warnable_C
    leads = (panel.falls_C - alarm_C)[early_C]
    announced = share(alarm_C > 0, panel.warnable_C, panel)
    false = share(alarm_C > 0, panel.quiet_C, panel)
    return Outcome(*announced, *false, float(np.median(leads)) if len(leads) else None)


def share(of_C: BoolArray, among_C: BoolArray, panel: Panel) -> tuple[float, tuple[float, float]]:
    return mean(of_C.astype(float), among_C, panel)


def mean(values_C: FloatArray, among_C: BoolArray, panel: Panel) -> tuple[float, tuple[float, float]]:
    """Mean over `among_C`, with an interval that resamples regimes."""
    regimes = sorted(set(panel.regimes_C.tolist()))
    total_R = np.array([values_C[among_C & (panel.regimes_C == regime)].sum() for regime in regimes])
    count_R = np.array([np.count_nonzero(among_C & (panel.regimes_C == regime)) for regime in regimes])
    drawn_BR = stream("early warning").multinomial(len(regimes), np.full(len(regimes), 1 / len(regimes)), RESAMPLES)
    counts_B = drawn_BR @ count_R
    low, high = np.quantile((drawn_BR @ total_R)[counts_B > 0] / counts_B[counts_B > 0], [0.025, 0.975])
    return float(total_R.sum() / max(1, count_R.sum())), (float(low), float(high))


# --- acting -----------------------------------------------------------------------------------------------------------


def ends(panel: Panel) -> FloatArray:
    """Without any action: the last step's score on report."""
    return np.asarray(panel.report_CS[np.arange(len(panel.chains)), panel.length_C])


def kept_best(panel: Panel, until_C: IntArray) -> FloatArray:
    """Score on report of the step that is best on select up to step `until_C` (the earliest of equals)."""
    step_S = np.arange(panel.select_CS.shape[1])
    seen_CS = np.where(step_S <= until_C[:, None], panel.select_CS, -np.inf)
    return np.asarray(panel.report_CS[np.arange(len(panel.chains)), seen_CS.argmax(axis=1)])


def stopped(alarm_C: IntArray, panel: Panel) -> IntArray:
    """The last step that is trained: the alarm's, or the budget's."""
    return np.where(alarm_C > 0, alarm_C, panel.length_C)


def early_stop(panel: Panel) -> IntArray:
    """The step at which `control: early_stop` stops each chain."""
    control, out = EarlyStop(), []
    for chain in panel.chains:
        state, stop = control.init(), len(chain.select) - 1
        for step, value in enumerate(chain.select):
            state, decision = control.decide(state, Record(step, value))
            if decision.action == "stop":
                stop = step
                break
        out.append(stop)
    return np.array(out)
