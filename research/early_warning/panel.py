"""All chains as arrays [C chains, S steps], NaN where nothing was measured, and the landmarks among them.

A *landmark* is a step, from 1 on, of a chain that has not fallen yet. Only what is known there counts: the values of
that step and of earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from research.early_warning.chains import Chain

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

CHANGE = 2
"""Steps over which a change is taken."""
SCORE, BELOW = "score (select)", "score below its best (select)"


@dataclass(frozen=True, eq=False)
class Panel:
    chains: tuple[Chain, ...]

    @cached_property
    def falls_C(self) -> IntArray:
        """The step at which each chain falls; 0: it does not (nothing falls at step 0)."""
        return np.array([chain.fall or 0 for chain in self.chains], dtype=np.int64)

    @cached_property
    def length_C(self) -> IntArray:
        """The last step."""
        return np.array([len(chain.report) - 1 for chain in self.chains])

    @cached_property
    def regimes_C(self) -> npt.NDArray[np.str_]:
        return np.array([chain.regime for chain in self.chains])

    @cached_property
    def arms_C(self) -> npt.NDArray[np.str_]:
        return np.array([f"{chain.regime}.{chain.arm}" for chain in self.chains])

    @cached_property
    def open_CS(self) -> BoolArray:
        """Landmarks."""
        step_S = np.arange(self.length_C.max() + 1)
        end_C = np.where(self.falls_C > 0, self.falls_C - 1, self.length_C)
        return np.asarray((step_S >= 1) & (step_S <= end_C[:, None]))

    @property
    def quiet_C(self) -> BoolArray:
        """Chains that do not fall."""
        return np.asarray(self.falls_C == 0)

    @property
    def warnable_C(self) -> BoolArray:
        """Chains that fall, with a landmark before: at step 1 nothing has been measured that could announce a fall."""
        return np.asarray(self.falls_C > 1)

    def held_out(self) -> Iterator[tuple[BoolArray, BoolArray]]:
        """Regime by regime: the chains of it, and those of all others."""
        for regime in dict.fromkeys(self.regimes_C.tolist()):
            inside_C = self.regimes_C == regime
            yield inside_C, ~inside_C

    @cached_property
    def select_CS(self) -> FloatArray:
        return self._array([chain.select for chain in self.chains])

    @cached_property
    def report_CS(self) -> FloatArray:
        return self._array([chain.report for chain in self.chains])

    def recorded(self) -> dict[str, FloatArray]:
        """Everything that was measured: signals of training, and the score that a controller may look at."""
        names = sorted({name for chain in self.chains for name in chain.signals})
        arrays = {name: self._array([c.signals.get(name, ()) for c in self.chains]) for name in names}
        best_CS = np.fmax.accumulate(self.select_CS, axis=1)
        arrays |= {SCORE: self.select_CS, BELOW: best_CS - self.select_CS}
        return {name: values for name, values in arrays.items() if len(np.unique(values[self.open_CS])) > 1}

    def _array(self, rows: Sequence[Sequence[float | None]]) -> FloatArray:
        out = np.full(self.open_CS.shape, np.nan)
        for row, values in zip(out, rows, strict=True):
            row[: len(values)] = [np.nan if value is None else value for value in values]
        return out


def change(values_CS: FloatArray) -> FloatArray:
    """The change since two steps before."""
    out = np.full(values_CS.shape, np.nan)
    out[:, CHANGE:] = values_CS[:, CHANGE:] - values_CS[:, :-CHANGE]
    return out
