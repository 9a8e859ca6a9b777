"""A rule's pace inside an engine: its state, and what a step was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from crestfall.control.pace import Meter, Pace
from crestfall.guard.step_meter import WeightStep, cosine_of

PACED_BY = 4
"""A step's KL is measured on what the first so many samples of each group wrote."""


class Paced:
    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.reset()

    def reset(self) -> None:
        """Return to the state at the start of a run."""
        self._state = self.pace.init()
        self._last: Tensor | None = None

    @property
    def scale(self) -> float:
        return self.pace.scale(self._state)

    def begin(self, parameters: Iterable[Tensor], adam: torch.optim.Optimizer) -> WeightStep:
        """Before the updates of a step."""
        put_back = isinstance(self.pace, Meter) and self.pace.moments == "put_back"
        return WeightStep(parameters, adam if put_back else None)

    def end(
        self,
        step: WeightStep,
        kl: Callable[[], float],
        shortened: float = 1.0,
        agreement: float | None = None,
        output: Iterable[Tensor] = (),
    ) -> dict[str, float]:
        """After them: weights and moments are pulled back where the step was too long. Returns signals.

        Args:
            shortened: what controllers and the schedule make of the learning rate, the pace left aside.
            agreement: of the two halves' gradients, where the pace asked for it.
            output: the parameters that make logits.
        """
        used, moved = self.scale, step.length() != 0
        if agreement is not None:
            self._state = self.pace.agree(self._state, agreement)
            shortened *= self.pace.trust(self._state)
        settled = self.pace.settle(kl if self.pace.measure == "kl" else step.relative, step.keep, shortened)
        if settled is None:
            return {}
        if moved:  # a batch without a signal says nothing of the rate
            self._state = self.pace.next(self._state, settled, shortened)
        signals = {"step_size": settled.size, "step_proposed": settled.proposed, "step_share": settled.share}
        more = {"step_agreement": agreement, "step_output_share": step.share_of(output)}
        signals |= {name: value for name, value in more.items() if value is not None}
        return {**signals, "pace": used, **self._cosine(step.sketch())}

    def _cosine(self, now: Tensor) -> dict[str, float]:
        """With the step before this one; nothing where one of the two is none."""
        cosine, self._last = cosine_of(self._last, now), now
        return {} if cosine is None else {"step_cosine": cosine}

    def snapshot(self) -> dict[str, Tensor]:
        """Numbers as they are, and the direction of the last step."""
        out = {name: torch.tensor(value, dtype=torch.float64) for name, value in self._state.items()}
        return out if self._last is None else {**out, "last_step": self._last.clone()}

    def restore(self, snapshot: Mapping[str, Tensor]) -> None:
        """A snapshot of a run that had no pace leaves it as at the start."""
        numbers = {name: float(value) for name, value in snapshot.items() if name != "last_step"}
        self._state = numbers or self.pace.init()
        last = snapshot.get("last_step")
        self._last = None if last is None else last.clone().cpu()
