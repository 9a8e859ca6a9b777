"""All signals at once: the risk of a fall within three steps, by logistic regression on levels and changes.

The risk in a regime comes from a fit to the landmarks of other regimes. So do the values that the alarm's threshold is
set on: for each left-out regime every other one gets its risk from a fit to neither of the two.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from research.early_warning.detector import fitted, standardised
from research.early_warning.panel import BoolArray, FloatArray, IntArray, Panel

AHEAD = 3
RIDGE = 10.0
CLIP = 4.0
NEWTON = 12


def combined_alarms(signals: Mapping[str, FloatArray], panel: Panel) -> IntArray:
    out_C = np.zeros(len(panel.chains), dtype=np.int64)
    for inside_C, others_C in panel.held_out():
        x_CSF = _features(signals, panel, others_C & panel.quiet_C)
        risk_CS = _risk(x_CSF, panel, others_C, inside_C)
        for second_C, rest_C in panel.held_out():
            if not (second_C & inside_C).any():
                risk_CS[second_C] = _risk(x_CSF, panel, others_C & rest_C, second_C)[second_C]
        out_C[inside_C] = fitted(risk_CS, panel, others_C)[inside_C]
    return out_C


def _features(signals: Mapping[str, FloatArray], panel: Panel, quiet_C: BoolArray) -> FloatArray:
    """[C, S, F]; what was not measured is at the median."""
    z = [standardised(values, panel, quiet_C) for values in signals.values()]
    return np.clip(np.nan_to_num(np.stack(z, axis=-1), nan=0.0), -CLIP, CLIP)


def _risk(x_CSF: FloatArray, panel: Panel, train_C: BoolArray, wanted_C: BoolArray) -> FloatArray:
    """Log odds at every landmark of `wanted_C`, from a fit to those of `train_C`."""
    step_S = np.arange(panel.open_CS.shape[1])
    soon_CS = (panel.falls_C[:, None] > step_S) & (panel.falls_C[:, None] <= step_S + AHEAD)
    used_CS, asked_CS = (panel.open_CS & among_C[:, None] for among_C in (train_C, wanted_C))
    weights = logistic(x_CSF[used_CS], soon_CS[used_CS])
    out_CS = np.full(panel.open_CS.shape, np.nan)
    out_CS[asked_CS] = x_CSF[asked_CS] @ weights[1:] + weights[0]
    return out_CS


def logistic(x_NF: FloatArray, y_N: BoolArray) -> FloatArray:
    """Weights with a ridge penalty, by Newton's method; the first is the intercept, which is not penalised."""
    design = np.column_stack([np.ones(len(x_NF)), x_NF])
    ridge = np.diag([1e-6] + [RIDGE] * x_NF.shape[1])
    weights = np.zeros(design.shape[1])
    for _ in range(NEWTON):
        p_N = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        slope = design.T @ (y_N - p_N) - ridge @ weights
        bend = (design * (p_N * (1 - p_N))[:, None]).T @ design + ridge
        weights = weights + np.linalg.solve(bend, slope)
    return weights
