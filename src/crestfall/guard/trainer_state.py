"""What there is to take back of a transformers Trainer: trainable weights, buffers, optimizer, scheduler."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from crestfall.core.errors import ConfigError, CrestfallWarning
from crestfall.guard.average import WeightAverage, trainable
from crestfall.guard.exact import bare_name, finite, forget_gradients, load_optimizer, refuse_uncapturable
from crestfall.guard.learning_rate import forget, keep_rates, rates_of, scale_learning_rate
from crestfall.guard.state import Functions, Schedule
from crestfall.store import statetree
from crestfall.store.checksums import checksums
from crestfall.store.statetree import Outline

if TYPE_CHECKING:
    from crestfall.guard.step_meter import StepMeter


class TrainerState:
    """Capture and restore for a guard. Frozen weights (the base under an adapter) are not copied as long as they stay
    what they were; where something writes into them after all (an adapter merged and unmerged), they are from then on.

    `optimizer` and `scheduler` may be accelerate's wrappers. `reference`: a model that follows the trained one and
    goes back with it (`sync_ref_model`). Not covered: fp16's loss scaler, and weights that are
    sharded over ranks (FSDP, DeepSpeed).
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        scheduler: Any,
        schedule: Schedule = "back",
        average: WeightAverage | None = None,
        meter: StepMeter | None = None,
        reference: Any = None,
    ) -> None:
        refuse_uncapturable(model, "the trainer's model")
        self._model, self._optimizer, self._scheduler = model, optimizer, scheduler
        self._schedule, self._average, self._meter, self._reference = schedule, average, meter, reference
        self._frozen = _sums({n: p for n, p in self._parameters() if not p.requires_grad})
        self._late: dict[str, Any] = {}
        self._drifted: set[str] = set()
        self._trained: set[str] = set()

    def functions(self) -> Functions:
        classes = {
            name: f"{type(item).__module__}.{type(item).__qualname__}"
            for name, item in (("optimizer", _inner(self._optimizer)), ("scheduler", _inner(self._scheduler)))
        }
        return Functions(
            self.capture,
            self.restore,
            self.scale_learning_rate,
            classes=classes,
            rates_stay=self._schedule == "on",
            finite=self.finite,
            lacks=self._lacks,
            forget_optimizer=lambda: forget(self._optimizer),
            weights=lambda: trainable(self._model),
            rates=lambda: rates_of(self._optimizer),
            forget_gradients=lambda: forget_gradients(self._model.parameters()),
        )

    def capture(self) -> dict[str, Any]:
        self.note_unfrozen()
        self._trained |= {name for name, p in self._parameters() if p.requires_grad}
        tree: dict[str, Any] = {
            "model": {**self._written_frozen(), **dict(self._changing())},
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
        }
        if self._average is not None:
            tree["average"] = self._average.state_dict()
        if self._meter is not None:
            tree["pace"] = self._meter.state_dict()
        if self._reference is not None:
            tree["reference"] = dict(self._reference.named_parameters())
        return tree

    def restore(self, tree: Mapping[str, Any]) -> None:
        import torch

        saved = {**self._late, **tree["model"]}
        live = {**dict(self._parameters()), **dict(self._buffers())}
        if odd := sorted(saved.keys() - live.keys()):
            raise ConfigError(f"the snapshot is of another model: {odd[0]!r} is in it and not here")
        if lost := sorted(self._drifted - saved.keys()):
            self._say(f"frozen weights have been written since ({lost[0]}), and the snapshot is from before: they stay")
        with torch.no_grad():
            for name, value in saved.items():
                live[name].copy_(value)
        rates = keep_rates(_inner(self._optimizer)) if self._schedule == "on" else None
        load_optimizer(self._optimizer, tree["optimizer"])
        if rates is None:
            self._scheduler.load_state_dict(tree["scheduler"])
        else:
            rates()
        if self._average is not None:
            self._average.load_state_dict(tree["average"])
        if self._meter is not None:
            self._meter.load_state_dict(tree["pace"])
        if self._reference is not None:
            with torch.no_grad():
                for name, weight in self._reference.named_parameters():
                    weight.copy_(tree["reference"][name])

    def scale_learning_rate(self, factor: float) -> None:
        scale_learning_rate(self._optimizer, factor)
        scale_learning_rate(self._scheduler, factor)

    def finite(self) -> bool:
        return finite(self._model)

    def note_unfrozen(self) -> None:
        """Remember the values of weights that are about to be trained for the first time: older snapshots lack them."""
        for name, parameter in self._parameters():
            if not parameter.requires_grad or name not in self._frozen:
                continue
            before = self._frozen.pop(name)
            if _sums({name: parameter}) == {name: before}:
                self._late[name] = parameter.detach().to("cpu", copy=True)
            else:
                self._say(f"{name} was frozen and has been trained already: going back to before leaves it as it is")

    def _written_frozen(self) -> dict[str, Any]:
        """Frozen weights that are not what they were."""
        frozen = {name: p for name, p in self._parameters() if name in self._frozen}
        changed = {name for name, value in _sums(frozen).items() if value != self._frozen[name]}
        if changed - self._drifted and not self._drifted:
            self._say(
                f"frozen weights are being written ({min(changed)}; an adapter that is merged and unmerged?): snap"
                "shots hold them too from here on, so that a return is exact"
            )
        self._drifted |= changed
        return {name: frozen[name] for name in frozen if name in self._drifted}

    def _lacks(self, stored: Outline) -> str:
        """Why weights of a stored snapshot do not go into the model, or not all that it trains are there."""
        shapes = {f"model.{n}": tuple(p.shape) for n, p in (*self._parameters(), *self._buffers())}
        theirs = {name: spec[1] for name, spec in stored.tensors.items() if name.startswith("model.")}
        for name, shape in theirs.items():
            if shapes.get(name) != shape:
                here = "not in the model here" if name not in shapes else f"of shape {list(shapes[name])} here"
                return f"{name} is {here} and of shape {list(shape)} there"
        for name, _ in self._changing():
            if f"model.{name}" not in theirs:
                return f"{name} is trained here and not in the snapshot"
        return ""

    def _changing(self) -> Iterator[tuple[str, Any]]:
        """Trainable parameters, those that were (a return may change them), and persistent buffers, by name; a
        parameter that has two names has its first."""
        yield from ((name, p) for name, p in self._parameters() if p.requires_grad or name in self._trained)
        yield from self._buffers()

    def _parameters(self) -> Iterator[tuple[str, Any]]:
        yield from ((bare_name(name), p) for name, p in self._model.named_parameters())

    def _buffers(self) -> Iterator[tuple[str, Any]]:
        persistent = self._model.state_dict().keys()
        yield from ((bare_name(name), b) for name, b in self._model.named_buffers() if name in persistent)

    def _say(self, text: str) -> None:
        warnings.warn(f"crestfall: {text}", CrestfallWarning, stacklevel=4)


def refuse_sharded(why: str = "CrestfallCallback takes snapshots of whole weights") -> None:
    """Raises ConfigError where accelerate shards the weights, which cannot be had whole."""
    from accelerate.state import AcceleratorState

    kind = str(AcceleratorState().distributed_type).rsplit(".", 1)[-1]
    if kind in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        raise ConfigError(
            f'{why}, and this run shards them ({kind}): use CrestfallCallback(keep="best") without `pace`, which '
            "decides and protects the trainer's own checkpoints"
        )


def _inner(item: Any) -> Any:
    """Without accelerate's wrapper."""
    for name in ("optimizer", "scheduler"):
        if type(item).__name__.startswith("Accelerated") and hasattr(item, name):
            return getattr(item, name)
    return item


def _sums(tensors: Mapping[str, Any]) -> dict[str, int]:
    """One checksum a name, also of tensors that are made of several."""
    sums: dict[str, int] = dict.fromkeys(tensors, 0)
    for i, (name, tensor) in enumerate(tensors.items()):
        leaves = statetree.look({str(i): tensor}).leaves
        sums[name] = sum(checksums(leaves).values())
    return sums
