"""The step meter for a training loop of one's own: three lines around `optimizer.step()`.

    meter = StepMeter(model.parameters(), optimizer)
    ...
        meter.before(lambda: logprobs(model, some_of_the_batch))   # log-probs of tokens that the policy sampled
        optimizer.step()
        measured = meter.after()

It measures KL(old || new) per token, pulls weights and moments back where a step was too long, and multiplies the
learning rate of the next one. A schedule or a controller that lowers the learning rate shortens the steps as it means
to: they are compared with the rate that the optimizer was configured with. What it decides by is
`crestfall.control.pace`. docs/pace.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from crestfall.control.pace import Pace
from crestfall.core.build import component
from crestfall.core.errors import ConfigError
from crestfall.guard.exact import put_in
from crestfall.guard.learning_rate import IN_GROUPS, unwrapped

Logprobs = Callable[[], Tensor | tuple[Tensor, Tensor]]
"""The log-probs of tokens that the policy sampled before the step, under the weights of now; of any shape. As a pair:
with a mask of the same shape, 1 on tokens that count. Called without gradients, and twice at least."""

SKETCH = 65_536
"""Entries of a step that its direction is told by."""

_OUTPUT = re.compile(r"(^|\.)(lm_head|embed_out|output_layer|unembed\w*|head)\.")
_EMBEDDING = re.compile(r"(^|\.)(embed|embed_tokens|wte|word_embeddings|embed_in)\.weight$")

SHORTEST = 1e-3
"""Steps are shortened to no less than this, where a warm-up begins at 0."""

_GIVEN = ("params", *IN_GROUPS)
"""Fields of a parameter group that no step of an optimizer changes."""

MOST_PER_TOKEN = 20.0
"""Nats that one token counts at most in a step's KL: the estimate's tail is heavy, and one token must not decide."""


@dataclass(frozen=True)
class Measured:
    """Measurements of a step and of its correction."""

    proposed: float
    """Size of the step as the optimizer took it: nats per token, or the part of the weights' norm."""
    size: float
    """Its size as it was kept."""
    share: float
    """The part of it that was kept."""
    scale: float
    """Learning-rate multiplier of the next step."""
    cosine: float | None = None
    """Cosine between the kept step and the one before it; None if one of them moved nothing."""
    output_share: float | None = None
    """The part of the step, by squares, that is in the layer that makes logits; None where that is not trained."""

    def signals(self) -> dict[str, float]:
        """Under the names of `crestfall.core.signals`, for `Guard.observe`."""
        out = {"step_proposed": self.proposed, "step_size": self.size, "step_share": self.share}
        rest = {"step_cosine": self.cosine, "step_output_share": self.output_share}
        return out | {name: value for name, value in rest.items() if value is not None}


class WeightStep:
    """Weights and an optimizer's moments from before a step: what a share of it is kept of."""

    def __init__(self, parameters: Iterable[Tensor], *optimizers: torch.optim.Optimizer) -> None:
        """Args: optimizers: those whose moments are to come back with the weights; without any they stay."""
        self.parameters = list(parameters)
        self.before = [parameter.detach().clone() for parameter in self.parameters]
        self.after: list[Tensor] | None = None
        self._moments = [
            (optimizer, parameter, _copied(optimizer.state.get(parameter, {})))
            for optimizer in optimizers
            for group in optimizer.param_groups
            for parameter in group["params"]
        ]
        self._counters = [
            (group, _copied({key: value for key, value in group.items() if key not in _GIVEN}))
            for optimizer in optimizers
            for group in optimizer.param_groups
        ]

    def length(self) -> float:
        """L2 norm of the change."""
        moved = zip(self.parameters, self.before, strict=True)
        return math.sqrt(sum(_square(p.detach() - old) for p, old in moved))

    def relative(self) -> float:
        """The change's norm relative to that of the weights before it."""
        return self.length() / max(math.sqrt(sum(map(_square, self.before))), 1e-30)

    def sketch(self) -> Tensor:
        """Some entries of the change: enough to tell its direction from another's."""
        return sketch(self.parameters) - sketch(self.before)

    def share_of(self, some: Iterable[Tensor]) -> float | None:
        """The share of some of the parameters in the change, by squares; None where there is none to speak of."""
        chosen = {id(parameter) for parameter in some}
        moved = zip(self.parameters, self.before, strict=True)
        squares = [(id(p), _square(p.detach() - old)) for p, old in moved]
        total = sum(square for _, square in squares)
        own = [square for number, square in squares if number in chosen]
        return sum(own) / total if own and 0 < total < math.inf else None

    @torch.no_grad()
    def keep(self, share: float) -> None:
        """Put the weights at before + share x (after - before), and the moments where they were before."""
        if self.after is None:
            self.after = [parameter.detach().clone() for parameter in self.parameters]
            self._put_moments_back()
        for parameter, old, new in zip(self.parameters, self.before, self.after, strict=True):
            # With share 0 the step may have led to NaN, of which 0 times is NaN.
            parameter.copy_(old if share == 0 else torch.lerp(old, new, share))

    def _put_moments_back(self) -> None:
        for optimizer, parameter, moments in self._moments:
            if moments:
                put_in(optimizer.state[parameter], moments)
            else:
                optimizer.state.pop(parameter, None)
        for group, counters in self._counters:  # those of schedule-free optimizers and Prodigy
            put_in(group, {**{key: group[key] for key in _GIVEN if key in group}, **counters})


class Paced:
    """A pace at work on some weights: its state, and the direction of the last step."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.reset()

    def reset(self) -> None:
        """Return to the state at the start of a run."""
        self.state = self.pace.init()
        self.last: Tensor | None = None

    @property
    def scale(self) -> float:
        """Current learning-rate multiplier."""
        return self.pace.scale(self.state)

    def begin(self, parameters: Iterable[Tensor], *optimizers: torch.optim.Optimizer) -> WeightStep:
        """Before the updates of a step."""
        return WeightStep(parameters, *(optimizers if getattr(self.pace, "moments", "kept") == "put_back" else ()))

    def end(
        self, step: WeightStep, kl: Callable[[], float], shortened: float = 1.0, output: Iterable[Tensor] = ()
    ) -> Measured | None:
        """After them: weights and moments are pulled back where the step was too long. None: the pace measures nothing.

        Args:
            shortened: what controllers and the schedule make of the learning rate, the pace left aside.
            output: the parameters that make logits.
        """
        moved = step.length() != 0
        settled = self.pace.settle(kl if self.pace.measure == "kl" else step.relative, step.keep, shortened)
        if settled is None:
            return None
        if moved:  # a batch without a signal says nothing of the rate
            self.state = self.pace.next(self.state, settled, shortened)
        now = step.sketch()
        cosine, self.last = cosine_of(self.last, now), now
        return Measured(settled.proposed, settled.size, settled.share, self.scale, cosine, step.share_of(output))


class StepMeter:
    """Keeps the updates of a training loop at one size, whatever its learning rate.

    In a distributed run make one on every rank: KL is averaged over all ranks, so that they decide alike; so is the
    norm of sharded weights (FSDP2). Weights that FSDP1 or DeepSpeed shard are refused.

    Args:
        parameters: those that the optimizer trains.
        optimizer: a torch optimizer, or accelerate's wrapper of one; or a list, where several share the weights.
        pace: `kl`, `norm`, `{"name": ..., option: ...}` or a pace object. `norm` needs no log-probs.
        output: those of the parameters that make logits, to say which part of a step is theirs.

    Raises:
        ConfigError: no such pace, or one that does not measure; an optimizer that works out its own rates; shards of
            FSDP1 or DeepSpeed.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        optimizer: Any,
        pace: str | Mapping[str, Any] | Pace = "kl",
        output: Iterable[Tensor] = (),
    ) -> None:
        options: Any = {"name": pace} if isinstance(pace, str) else pace
        self.pace: Pace = component("pace", options) if isinstance(options, Mapping) else options
        if self.pace.measure == "none":
            raise ConfigError("StepMeter: pace 'none' measures nothing; use 'kl' or 'norm'")
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        if self.pace.halves:
            raise ConfigError("StepMeter: follow='agreement' needs gradients of half batches; engine native has them")
        self._optimizers = list(optimizer) if isinstance(optimizer, list | tuple) else [optimizer]
        self._output = list(output)
        self._paced = Paced(self.pace)
        self._step: WeightStep | None = None
        self._logprobs: Logprobs | None = None
        self._old: tuple[Tensor, Tensor] | None = None
        self._tried = False
        self._rates: list[Any] = []
        if any(hasattr(parameter, "ds_id") or hasattr(parameter, "_fsdp_flattened") for parameter in self._parameters):
            raise ConfigError(
                "StepMeter: FSDP1 or DeepSpeed shards these parameters, and every rank would measure its own part: use "
                "FSDP2 (fully_shard) or DDP"
            )
        if any(group.get("lr") is None for group in self._groups):
            raise ConfigError(
                "StepMeter: the optimizer has lr=None and works out its own learning rate, as Adafactor with "
                "relative_step=True: give it an lr, which the meter can change"
            )
        self._configured = max(map(_configured, self._groups), default=0.0)

    @property
    def scale(self) -> float:
        """Current learning-rate multiplier."""
        return self._paced.scale

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]

    def before(self, logprobs: Logprobs | None = None) -> None:
        """Right before `optimizer.step()`. Until `after` the learning rates of the optimizer are the scaled ones.

        Args:
            logprobs: see `Logprobs`. Some four samples of each problem in the batch are enough.

        Raises:
            ConfigError: the pace measures KL and there are no log-probs, or others at every call; the last step has
                not been ended, or the optimizer trains other parameters too.
        """
        if self._step is not None:
            raise ConfigError(
                "StepMeter: before() was called twice without after(): call after() also where the step has failed"
            )
        known = {id(parameter) for parameter in self._parameters}
        groups = self._groups
        if any(p.requires_grad and id(p) not in known for group in groups for p in group["params"]):
            raise ConfigError(
                "StepMeter: the optimizer trains parameters that the meter does not have, and could not pull them "
                "back: make it with all of them (copies in float32, if these are what the optimizer trains)"
            )
        if self.pace.measure == "kl":
            if logprobs is None:
                raise ConfigError("StepMeter: pace 'kl' needs log-probs: before(lambda: ...); pace 'norm' needs none")
            self._logprobs, self._old = logprobs, _evaluated(logprobs)
            if not self._tried:
                self._refuse_noise()
        self._step = self._paced.begin(self._parameters, *map(unwrapped, self._optimizers))
        self._rates = [group["lr"] for group in groups]
        for group in groups:
            group["lr"] = group["lr"] * self.scale

    def after(self) -> Measured:
        """Right after `optimizer.step()`. Raises ConfigError without a `before`."""
        if self._step is None:
            raise ConfigError("StepMeter: after() without before()")
        shortened = self._shortened()
        for group, rate in zip(self._groups, self._rates, strict=True):
            group["lr"] = rate
        measured = self._paced.end(self._step, self._kl, shortened, self._output)
        assert measured is not None
        self._step = self._logprobs = self._old = None
        return measured

    def state_dict(self) -> dict[str, float]:
        """State for checkpoints and for a guard's `state`; a rollback then restores the pace of the peak."""
        return {**self._paced.state, "configured": self._configured}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        kept = {name: float(value) for name, value in state.items()}
        self._configured = kept.pop("configured", self._configured)
        self._paced.state = kept

    def _shortened(self) -> float:
        """Share of the configured learning rate that schedule, warm-up and controllers leave. Without it, a meter that
        holds steps at one size would undo them."""
        rate = max(map(float, self._rates), default=0.0)
        self._configured = max(self._configured, rate)  # a loop's own warm-up leads to rates that nobody has noted
        return max(rate / self._configured, SHORTEST) if self._configured > 0 else 1.0

    def _refuse_noise(self) -> None:
        """Dropout would be measured as a step: no weight has moved yet, so the KL has to be 0."""
        noise = self._kl()
        if noise > 0.1 * float(getattr(self.pace, "target", 0.0)):
            raise ConfigError(
                f"StepMeter: two calls of the log-probs function differ by {noise:.3g} nats per token with the same "
                "weights: switch dropout off in it (model.eval(), then model.train()), and sample nothing anew"
            )
        self._tried = True

    def _kl(self) -> float:
        assert self._logprobs is not None
        assert self._old is not None
        old, mask = self._old
        new, _ = _evaluated(self._logprobs)
        if new.shape != old.shape:
            raise ConfigError(f"StepMeter: log-probs {tuple(old.shape)} before the step, {tuple(new.shape)} after it")
        sums = torch.stack((k3(new - old)[mask > 0].sum(), (mask > 0).sum()))
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        total, tokens = sums.tolist()
        return float(total / tokens) if tokens else 0.0


def sketch(tensors: Iterable[Tensor | None]) -> Tensor:
    """Some 65,536 evenly spread entries of tensors (or fewer; of shards this rank's), on the CPU; None counts as
    nothing."""
    known = [_local(tensor.detach()).reshape(-1) for tensor in tensors if tensor is not None]
    stride = max(1, -(-sum(tensor.numel() for tensor in known) // SKETCH))
    return torch.cat([tensor[::stride].float().cpu() for tensor in known]) if known else torch.zeros(0)


def _square(tensor: Tensor) -> float:
    """Sum of the squares; of a sharded tensor over all ranks."""
    total = tensor.square().sum()
    return float(total.full_tensor() if hasattr(total, "full_tensor") else total)


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def output_layer(named: Mapping[str, Tensor]) -> list[Tensor]:
    """The parameters that make logits, by their names; where embeddings are tied, the embedding."""
    for pattern in (_OUTPUT, _EMBEDDING):
        if found := [parameter for name, parameter in named.items() if pattern.search(name)]:
            return found
    return []


def cosine_of(one: Tensor | None, other: Tensor) -> float | None:
    """Cosine of two vectors; None if one of them is missing or has norm 0."""
    length = 0.0 if one is None else float(one.norm() * other.norm())
    return None if one is None or not 0 < length < math.inf else float(one @ other) / length


def k3(difference: Tensor, at_most: float = MOST_PER_TOKEN) -> Tensor:
    """KL(old || new) of each token from d = log new - log old of a token that old sampled: e^d - 1 - d, not negative
    (Schulman 2020)."""
    return (difference.exp() - 1 - difference).clamp(max=at_most)


def _configured(group: Mapping[str, Any]) -> float:
    """The highest learning rate that a parameter group is meant to have, where a scheduler has noted it."""
    return max(float(group[name]) for name in ("lr", "initial_lr", "max_lr") if name in group)


@torch.no_grad()
def _evaluated(logprobs: Logprobs) -> tuple[Tensor, Tensor]:
    values = logprobs()
    tokens, mask = values if isinstance(values, tuple) else (values, torch.ones_like(values))
    if tokens.shape != mask.shape:
        raise ConfigError(f"StepMeter: log-probs {tuple(tokens.shape)} and mask {tuple(mask.shape)} differ in shape")
    return tokens.detach().double().clone(), mask.detach().double()


def _copied(moments: Any) -> Any:
    """A copy with tensors of its own, also in the lists of an L-BFGS."""
    if isinstance(moments, Tensor):
        return moments.detach().clone()
    if isinstance(moments, Mapping):
        return {name: _copied(value) for name, value in moments.items()}
    return type(moments)(map(_copied, moments)) if type(moments) in (list, tuple) else moments
