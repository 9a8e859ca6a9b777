"""Do the two halves of a batch point the same way? The cosine of their gradients, over the updates of a step.

With a gradient that is the same for all problems it is 1, with noise alone about 0; what it is in between says how much
of a step is signal (McCandlish et al. 2018, An Empirical Model of Large-Batch Training, ask the same of two batch
sizes).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from crestfall.guard.step_meter import cosine_of, sketch
from crestfall.testbed.policies.base import Rows


def halves_of(rows: Rows, part: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The rows of a minibatch by halves of its problems; one problem alone has no halves."""
    problems = np.unique(rows.problem_R[part])
    if len(problems) < 2:
        return [part]
    first = np.isin(rows.problem_R[part], problems[: len(problems) // 2])
    return [part[first], part[~first]]


class Agreement:
    """Looks at gradients as they add up: after the first half, and after the second. `on`: else it does nothing."""

    def __init__(self, on: bool) -> None:
        self._on = on
        self._sums: list[Tensor] = []
        self._cosines: list[float] = []

    def see(self, parameters: Mapping[str, Tensor]) -> None:
        """After a half: `grad` is the sum so far."""
        if self._on:
            self._sums.append(sketch(parameter.grad for parameter in parameters.values()))

    def end(self) -> None:
        """After a minibatch."""
        if len(self._sums) == 2 and len(self._sums[0]) == len(self._sums[1]):
            first, both = self._sums
            cosine = cosine_of(first, both - first)
            self._cosines += [] if cosine is None else [cosine]
        self._sums = []

    def mean(self) -> float | None:
        """None where nothing was measured."""
        return float(np.mean(self._cosines)) if self._cosines else None
