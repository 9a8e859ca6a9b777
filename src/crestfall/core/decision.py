"""What a controller decides after a step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Action = Literal["continue", "stop", "rollback"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A controller's decision after a step.

    `continue`: train on. `stop`: end the campaign with the weights of `target_step`. `rollback`: restore weights
    *and* optimizer of `target_step` and train on from there (the step counter goes on: it never runs backwards).

    `learning_rate_scale`: where training goes on, what the learning rate is multiplied with from here on, in the
    campaigns that follow too. `forget_optimizer`: where training goes on, the optimizer starts anew, without the
    momenta that it has. `average`: the mean of the weights of these steps (the present one may be among them) takes
    the place of the weights: of those to train on from, or, with a stop, of the final weights. A controller
    keeps the steps that it averages.

    Raises:
        ValueError: another action; a learning rate times what is no positive number; a stop that changes how training
            goes on.
    """

    action: Action
    target_step: int | None = None
    reason: str = ""
    evidence: Mapping[str, float] = field(default_factory=dict)
    learning_rate_scale: float = 1.0
    forget_optimizer: bool = False
    average: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.action not in get_args(Action):
            raise ValueError(f"action={self.action!r}: expected continue, stop or rollback")
        scale = self.learning_rate_scale
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"learning_rate_scale={scale}: expected a positive number")
        if self.action == "stop" and (scale != 1.0 or self.forget_optimizer):
            raise ValueError("a decision to stop leaves learning rate and optimizer as they are")
        # numpy's and torch's numbers, which a controller of one's own may give, are in no journal.
        step = None if self.target_step is None else int(self.target_step)
        plain = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in self.evidence.items()}
        object.__setattr__(self, "target_step", step)
        object.__setattr__(self, "learning_rate_scale", float(scale))
        object.__setattr__(self, "average", tuple(map(int, self.average)))
        object.__setattr__(self, "evidence", {name: value for name, value in plain.items() if not _is_odd(value)})

    @property
    def changes_training(self) -> bool:
        """Training goes on from here, in another way than it would have by itself, without a rollback."""
        touched = self.learning_rate_scale != 1.0 or self.forget_optimizer or bool(self.average)
        return self.action == "continue" and touched

    @property
    def changes(self) -> str:
        """Changes to a run that continues, in words; "" if there are none."""
        parts = [f"learning rate x {self.learning_rate_scale:g}"] if self.learning_rate_scale != 1.0 else []
        parts += ["optimizer forgotten"] if self.forget_optimizer else []
        parts += [f"mean of the weights of steps {', '.join(map(str, self.average))}"] if self.average else []
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """JSON of a run's events. The rarer actions are present only if they are taken."""
        out: dict[str, Any] = {
            "action": self.action,
            "target_step": self.target_step,
            "reason": self.reason,
            "evidence": dict(self.evidence),
            "learning_rate_scale": self.learning_rate_scale,
        }
        if self.forget_optimizer:
            out["forget_optimizer"] = True
        if self.average:
            out["average"] = list(self.average)
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Decision:
        """Raises KeyError, TypeError or ValueError for what `to_json` did not write."""
        return cls(
            data["action"],
            data["target_step"],
            data["reason"],
            data["evidence"],
            float(data.get("learning_rate_scale", 1.0)),  # it was not always there
            bool(data.get("forget_optimizer", False)),
            tuple(map(int, data.get("average", ()))),
        )


def _is_odd(value: object) -> bool:
    """Whether it is a number that JSON has no way to write."""
    return isinstance(value, float) and not math.isfinite(value)
