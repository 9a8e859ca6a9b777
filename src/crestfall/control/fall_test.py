"""Has the score fallen? A sequential test that may be looked at after every evaluation, with one false-alarm rate per
run.

Null hypothesis: the true score never falls (it rises as it likes, then stays); evaluations are independent, normal,
with known standard errors. Whatever the curve's shape, P(an alarm ever) <= alpha.

How. For a reference that begins at observation `a`, a change at `k` and a fall of `delta`, with D the
precision-weighted mean of x_a .. x_{k-1} minus that of x_k .. x_t, and V = Var(D), the likelihood ratio of "flat, then
lower by delta from k on" to "flat" given everything but the level is

    L_t = exp(delta D / V - delta^2 / (2 V)).

It is a product over t of exp(-c w - c^2/2), c > 0, of the recursive residuals w (Brown, Durbin & Evans 1975), which
under the null are independent N(m, 1) with m >= 0: x_t minus the mean of its past cannot be negative on average where
nothing falls. So L_t is a supermartingale that starts at 1, and so is its mixture over k and delta, E_t(a). By Ville's
inequality P(E_t(a) >= 1 / (alpha pi_a) for any t) <= alpha pi_a, and a union bound over `a` with sum pi_a = 1 gives the
claim (the E(a) live in different filtrations, hence a union and not one more mixture). Anytime-valid: Ramdas et al.
2023, "Game-theoretic statistics and safe anytime-valid inference".

Where the noise of the evaluations is not known it is estimated from the scatter of successive differences; the rate
then holds about, not exactly, and not for noise that is correlated from step to step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from crestfall.core.types import Record

_DELTAS = np.array([1.0, 2.0, 4.0, 8.0])
"""Falls that are looked for, in standard errors of one evaluation: a factor of two off costs little power."""
_WINDOW = 128
"""Observations looked back. Older ones are forgotten: terms of a sum of positive numbers left out, so the rate still
holds."""
DIFFERENCES = 12
"""Differences needed before noise that is not known can be estimated."""


@dataclass(frozen=True)
class Fall:
    """Result of the test after an observation.

    `p_value`: anytime-valid, the smallest so far; `alarm`: it is at most alpha. `drop` +- `standard_error`: the fall at
    the best-supported change, which came at step `change_step`; `noise_known`: whether the evaluations said their own
    noise.
    """

    p_value: float
    alarm: bool
    drop: float
    standard_error: float
    change_step: int
    noise_known: bool

    def evidence(self) -> dict[str, float]:
        return {
            "p_value": self.p_value,
            "drop": self.drop,
            "drop_standard_error": self.standard_error,
            "change_step": float(self.change_step),
            "noise_known": float(self.noise_known),
        }


@dataclass(frozen=True)
class FallTest:
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """False alarms per run, at most, whatever its length."""
    horizon: Annotated[int, Field(ge=1)] = 50
    """Evaluations that a run has, about. Spreads the power, not the guarantee: longer runs are tested on."""

    def init(self) -> Mapping[str, Any]:
        return {"seen": 0, "steps": [], "values": [], "errors": [], "p_value": 1.0}

    def update(self, state: Mapping[str, Any], record: Record) -> tuple[Mapping[str, Any], Fall]:
        """Take in one evaluation. Pure; the state is plain JSON data."""
        steps = [*state["steps"], record.step][-_WINDOW:]
        values = [*state["values"], record.value][-_WINDOW:]
        errors = [*state["errors"], known_noise(record)][-_WINDOW:]
        seen = state["seen"] + 1
        noise, known = _noise(values, errors)
        p, drop, error, change = 1.0, 0.0, 0.0, len(values) - 1
        if noise is not None and len(values) > 1:
            p, drop, error, change = self._look(np.array(values), noise, seen - len(values))
        p = min(p, state["p_value"])
        new = {"seen": seen, "steps": steps, "values": values, "errors": errors, "p_value": p}
        return new, Fall(p, p <= self.alpha, drop, error, steps[change], known)

    def _look(self, x_T: np.ndarray, se_T: np.ndarray, first: int) -> tuple[float, float, float, int]:
        """(p-value now, drop, its standard error, index of the change) from the window, which starts at observation
        `first`."""
        size, spread = len(x_T), float(self.horizon)
        weights = np.concatenate([[0.0], np.cumsum(se_T**-2.0)])
        sums = np.concatenate([[0.0], np.cumsum(x_T * se_T**-2.0)])
        a, k = np.triu_indices(size, 1)
        before, after = weights[k] - weights[a], weights[size] - weights[k]
        drop = (sums[k] - sums[a]) / before - (sums[size] - sums[k]) / after
        variance = 1 / before + 1 / after

        delta = _DELTAS[:, None] * se_T[a]
        ratios = delta * drop / variance - delta**2 / (2 * variance)
        log_ratio = np.logaddexp.reduce(ratios, axis=0) - math.log(len(_DELTAS))
        gap = k - a
        support = log_ratio + np.log(spread / ((gap - 1 + spread) * (gap + spread)))
        best = int(np.argmax(support))

        # Changes that have not come yet: their likelihood ratio is 1, their weights sum to spread / (gap + spread).
        log_e = np.log(spread / (size - 1 - np.arange(size - 1) + spread))
        log_e = np.logaddexp(log_e, np.logaddexp.reduceat(support, np.flatnonzero(gap == 1)))
        start = first + np.arange(size - 1)
        log_pi = np.log(spread / ((start + spread) * (start + spread + 1)))
        p = math.exp(min(0.0, -float(np.max(log_e + log_pi))))
        return p, float(drop[best]), math.sqrt(float(variance[best])), int(k[best])


def known_noise(record: Record) -> float | None:
    """The standard error of a record's score, never 0: shares are drawn half a sample towards 1/2 (Jeffreys), so that
    an evaluation in which everything or nothing passed is not taken for certain. None: not known."""
    if record.counts_P is not None and record.n is not None:
        shares = [(c + 0.5) / (record.n + 1) for c in record.counts_P]
        return math.sqrt(sum(p * (1 - p) for p in shares) / record.n) / len(shares)
    return record.standard_error


def _noise(values: Sequence[float], errors: Sequence[float | None]) -> tuple[np.ndarray | None, bool]:
    """Standard errors of all observations and whether they are known; None: not even an estimate yet."""
    largest = max((error for error in errors if error is not None), default=0.0)
    if largest > 0:
        # An evaluation that does not say its noise has the largest; one that says (nearly) none is not believed.
        return np.array([max(largest if error is None else error, largest / 4) for error in errors]), True
    differences = np.abs(np.diff(values))
    if len(differences) < DIFFERENCES:
        return None, False
    # The upper quartile of |difference of two normal draws| is 1.1503 sqrt(2) sigma; a collapse moves few of the
    # differences. An estimate from m of them is too small half of the time: enlarged by about its own relative error,
    # checked by simulation.
    sigma = float(np.quantile(differences, 0.75)) / (1.1503 * math.sqrt(2)) * (1 + 2 / math.sqrt(len(differences)))
    return (np.full(len(values), sigma), False) if sigma > 0 else (None, False)
