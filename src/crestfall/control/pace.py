"""Pace: how far one update may move the policy, whatever the learning rate is.

A pace measures the step that an update has just taken, pulls the weights back along it where it was too long, and
multiplies the learning rate of the next one:

    rate <- rate x clip(sqrt(target / size), slowest, fastest)

A KL divergence grows with the square of a small step (hence the root); a norm grows with the step itself. Nothing is
evaluated: a pace knows nothing of scores. `settle` is the arithmetic; who holds the weights (an engine,
`crestfall.StepMeter`) brings a way to measure the step and a way to keep a share of it.

Who did parts of it before: docs/pace.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crestfall.core.errors import ConfigError
from crestfall.core.registry import register

State = Mapping[str, float]
"""State of a pace between steps; part of every snapshot. `scale` multiplies the learning rate."""

Positive = Annotated[float, Field(gt=0)]

TRIES = 6
"""A step that is still too long after so many times of pulling back is not taken at all."""


@dataclass(frozen=True)
class Settled:
    """Measurements of a step."""

    proposed: float
    """Its size as the optimizer took it."""
    size: float
    """Its size as it was kept."""
    share: float
    """The part of it that was kept: 1 all, 0 nothing."""


@register("pace", "none")
@dataclass(frozen=True, kw_only=True)
class Pace:
    """Every step as the optimizer takes it. Nothing is measured."""

    name: ClassVar[str]
    measure: ClassVar[Literal["none", "kl", "norm"]] = "none"
    """Measure of a step's size: its KL divergence or its norm."""

    def init(self) -> State:
        """Must survive `json.loads(json.dumps(state))` unchanged."""
        return {}

    def scale(self, state: State) -> float:
        """The learning-rate multiplier."""
        return state.get("scale", 1.0)

    @property
    def halves(self) -> bool:
        """Whether the pace needs the agreement of the gradients of a batch's two halves."""
        return False

    def agree(self, state: State, agreement: float) -> State:
        """Take in the cosine of the two halves' gradients, before the step that they lead to is settled."""
        return state

    def trust(self, state: State) -> float:
        """Multiplier of the next step's length, from the agreement of the halves."""
        return 1.0

    def enough(self, kl: Callable[[], float]) -> bool:
        """Whether to skip the remaining updates of a batch; called between two of them. `kl` measures how far the
        updates so far have moved the policy."""
        return False

    def settle(
        self, size: Callable[[], float], keep: Callable[[float], None], shortened: float = 1.0
    ) -> Settled | None:
        """Measure the step just taken, and pull it back until it is short enough. None: it was not measured.

        Args:
            size: the size of the step as it stands.
            keep: put the weights at before + share x (after - before), for a share in [0, 1).
            shortened: what a controller or a schedule multiplies the learning rate by. Steps are to be that much
                shorter: a pace that held them at one size would undo it.
        """
        return None

    def next(self, state: State, settled: Settled, shortened: float = 1.0) -> State:
        """The state after a step of this size."""
        return state


@dataclass(frozen=True, kw_only=True)
class Meter(Pace):
    """Base of the paces that meter steps."""

    power: ClassVar[float] = 1.0
    """A step twice as long has 2^power times the size."""

    target: Positive
    """Size that a step should have."""
    pull_back: Annotated[float, Field(ge=1)] | None = 2.0
    """A step longer than this many targets is pulled back to about one target. `none`: only the learning rate adapts,
    one step late."""
    slowest: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Smallest factor by which the rate may change from one step to the next."""
    fastest: Annotated[float, Field(ge=1)] = 1.5
    """Largest factor by which the rate may change from one step to the next. With 1 a rate that is too low stays too
    low."""
    moments: Literal["put_back", "kept"] = "put_back"
    """Adam's moments after the weights were pulled back. `put_back`: those of before the step, as if it had never been
    tried. `kept`: they keep the gradient that led too far."""
    follow: Literal["fixed", "agreement"] = "fixed"
    """`agreement`: steps shrink in proportion to the agreement of a batch's two halves (the cosine of their gradients,
    an average over some five steps), compared with the best that it has been. What is left of a gradient then is noise,
    and a long step along it harms. To no less than `slowest`."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.target):
            raise ConfigError(f"target: expected a finite number, found {self.target}")

    def init(self) -> State:
        return {"scale": 1.0}

    @property
    def halves(self) -> bool:
        return self.follow == "agreement"

    def agree(self, state: State, agreement: float) -> State:
        now = max(0.0, agreement)
        if "agreement" in state:
            now = 0.8 * state["agreement"] + 0.2 * now
        return {**state, "agreement": now, "best_agreement": max(now, state.get("best_agreement", 0.0))}

    def trust(self, state: State) -> float:
        best = state.get("best_agreement", 0.0)
        return 1.0 if best <= 0 else max(self.slowest, state["agreement"] / best)

    def settle(self, size: Callable[[], float], keep: Callable[[float], None], shortened: float = 1.0) -> Settled:
        proposed = now = _finite(size())
        share = 1.0
        if self.pull_back is None:
            return Settled(proposed, now, share)
        longest = self.pull_back * self.target * shortened**self.power
        for _ in range(TRIES):
            if now <= longest:
                return Settled(proposed, now, share)
            share *= min(0.8, max(0.1, self._ratio(now, shortened)))
            keep(share)
            now = _finite(size())
        if now > longest:
            keep(0.0)
            return Settled(proposed, 0.0, 0.0)
        return Settled(proposed, now, share)

    def next(self, state: State, settled: Settled, shortened: float = 1.0) -> State:
        factor = min(self.fastest, max(self.slowest, self._ratio(settled.proposed, shortened)))
        return {**state, "scale": state["scale"] * factor}

    def _ratio(self, size: float, shortened: float) -> float:
        """Factor that would bring the step to its target length."""
        return float((self.target / max(size, 1e-12)) ** (1 / self.power)) * shortened


@register("pace", "kl")
@dataclass(frozen=True, kw_only=True)
class KLPace(Meter):
    """Steps of about the same KL(old || new) per token, measured on a few of the batch's own samples.

    It costs a forward pass over four samples of each problem, and one more each time a step is pulled back.
    """

    name: ClassVar[str]
    measure: ClassVar[Literal["none", "kl", "norm"]] = "kl"
    power: ClassVar[float] = 2.0

    target: Positive = 0.01
    """Nats per token and step, k3 estimate. In the pilot 0.03 let one regime fall and 0.003 was slow."""


@register("pace", "norm")
@dataclass(frozen=True, kw_only=True)
class NormPace(Meter):
    """Steps of about the same length relative to the weights: ||change|| / ||weights||. No forward pass.

    Degenerate case: it does not see what a step does to the policy. The same length is harmless in one direction and
    deadly in another, so that its target has to be found for each model.
    """

    name: ClassVar[str]
    measure: ClassVar[Literal["none", "kl", "norm"]] = "norm"

    target: Positive = 0.002
    """Target length of a step, as a share of the norm of the weights."""


@register("pace", "target_kl")
@dataclass(frozen=True, kw_only=True)
class TargetKL(Pace):
    """PPO's early stop of a batch: no further update of it once the policy has moved by more than 1.5 targets.

    What libraries call `target_kl` (Spinning Up, Stable-Baselines3). The update that went too far stays, and with one
    update a batch nothing is ever stopped.
    """

    name: ClassVar[str]

    target: Positive = 0.01
    """Nats per token, k3 estimate. The libraries that have it off by default give 0.01 to 0.05 in examples."""

    def enough(self, kl: Callable[[], float]) -> bool:
        return _finite(kl()) > 1.5 * self.target


def _finite(size: float) -> float:
    """A policy that has diverged has no size: an endless one is too long."""
    return size if math.isfinite(size) else math.inf
