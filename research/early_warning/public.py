"""Rules of thumb that people set in TRL, verl and monitors, with thresholds as published. Nothing is fitted here.

A rule that compares with earlier steps waits until it has four. Thresholds: rlwatch's defaults (three standard
deviations, three times, a floor of entropy; github.com/varun1724/rlwatch), target KL of PPO implementations
(1.5 x 0.01 a token and update), TRL's old adaptive target of 6 nats a sequence; the others are round numbers, set
before any of the chains that are scored was run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from research.early_warning.panel import BoolArray, FloatArray, IntArray, Panel

WARM_UP = 4
Recorded = Mapping[str, FloatArray]


def public_alarms(recorded: Recorded, panel: Panel) -> dict[str, IntArray]:
    """The first landmark at which each rule holds; 0: none. Rules whose signal is not recorded are left out."""
    out = {}
    for name, (needs, rule) in RULES.items():
        if all(signal in recorded for signal in needs):
            with np.errstate(invalid="ignore"):
                holds_CS = rule(recorded) & panel.open_CS
            out[name] = np.where(holds_CS.any(axis=1), holds_CS.argmax(axis=1), 0)
    return out


def _earlier(values_CS: FloatArray, of: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """A statistic of all earlier steps, from the fifth on."""
    out = np.full(values_CS.shape, np.nan)
    for step in range(1 + WARM_UP, values_CS.shape[1]):
        out[:, step] = of(values_CS[:, 1:step])
    return out


def _mean(values_CS: FloatArray) -> FloatArray:
    known_C = np.maximum(1, np.count_nonzero(~np.isnan(values_CS), axis=1))
    return np.asarray(np.nansum(values_CS, axis=1) / known_C)


def _deviation(values_CS: FloatArray) -> FloatArray:
    return np.sqrt(_mean((values_CS - _mean(values_CS)[:, None]) ** 2))


def _three_sigma(signal: str) -> Callable[[Recorded], BoolArray]:
    def rule(r: Recorded) -> BoolArray:
        v = r[signal]
        return np.asarray(v > _earlier(v, _mean) + 3 * _earlier(v, _deviation))

    return rule


def _times(signal: str, factor: float) -> Callable[[Recorded], BoolArray]:
    return lambda r: np.asarray(r[signal] > factor * _earlier(r[signal], _mean))


def _reward_drop(r: Recorded) -> BoolArray:
    v = r["reward"]
    three_CS = np.full(v.shape, np.nan)
    three_CS[:, 3:] = (v[:, 1:-2] + v[:, 2:-1] + v[:, 3:]) / 3
    return np.asarray(three_CS < 0.7 * np.fmax.accumulate(three_CS, axis=1))


RULES: Mapping[str, tuple[tuple[str, ...], Callable[[Recorded], BoolArray]]] = {
    "entropy below 0.5 nats": (("entropy",), lambda r: r["entropy"] < 0.5),
    "entropy below half of step 1": (("entropy",), lambda r: r["entropy"] < 0.5 * r["entropy"][:, 1:2]),
    "KL to the base: 3 sigma above its mean": (("kl_base",), _three_sigma("kl_base")),
    "KL to the base above 6 nats a sequence": (("kl_base", "length"), lambda r: r["kl_base"] * r["length"] > 6),
    "KL of a step above 0.015": (("step_size",), lambda r: r["step_size"] > 0.015),
    "gradient norm: 3 sigma above its mean": (("grad_norm",), _three_sigma("grad_norm")),
    "gradient norm above 3 times its mean": (("grad_norm",), _times("grad_norm", 3)),
    "advantages above 3 times their mean": (("advantage_abs",), _times("advantage_abs", 3)),
    "reward: mean of three 30% below its best": (("reward",), _reward_drop),
    "length above 1.5 times its mean": (("length",), _times("length", 1.5)),
    "truncated above 20%": (("truncated",), lambda r: r["truncated"] > 0.2),
    "groups without a contrast above 80%": (("zero_variance_groups",), lambda r: r["zero_variance_groups"] > 0.8),
}
