"""A rule's pace inside an engine: its signals, and its state in a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from crestfall.guard import step_meter
from crestfall.guard.step_meter import WeightStep

PACED_BY = 4
"""A step's KL is measured on what the first so many samples of each group wrote."""


def as_tensors(state: Mapping[str, float]) -> dict[str, Tensor]:
    """The state of a rule, penalty or pace as a part of a snapshot."""
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in state.items()}


def as_numbers(tensors: Mapping[str, Tensor]) -> dict[str, float]:
    """Inverse of `as_tensors`."""
    return {name: float(value) for name, value in tensors.items()}


class Paced(step_meter.Paced):
    def signals(
        self,
        step: WeightStep,
        kl: Callable[[], float],
        shortened: float = 1.0,
        agreement: float | None = None,
        output: Iterable[Tensor] = (),
    ) -> dict[str, float]:
        """`end`, with the agreement of the two halves' gradients, where the pace asked for it."""
        used, seen = self.scale, {}
        if agreement is not None:
            seen["step_agreement"] = agreement
            self.state = self.pace.agree(self.state, agreement)
            shortened *= self.pace.trust(self.state)
        measured = self.end(step, kl, shortened, output)
        return {} if measured is None else {**measured.signals(), **seen, "pace": used}

    def snapshot(self) -> dict[str, Tensor]:
        """Numbers as they are, and the direction of the last step."""
        out = as_tensors(self.state)
        return out if self.last is None else {**out, "last_step": self.last.clone()}

    def restore(self, snapshot: Mapping[str, Tensor]) -> None:
        """A snapshot of a run that had no pace leaves it as at the start."""
        numbers = {name: value for name, value in snapshot.items() if name != "last_step"}
        self.state = as_numbers(numbers) or self.pace.init()
        last = snapshot.get("last_step")
        self.last = None if last is None else last.clone().cpu()
