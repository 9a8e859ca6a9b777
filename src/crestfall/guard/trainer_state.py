"""Training state of a transformers Trainer for snapshots: trainable weights, buffers, optimizer, scheduler."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from crestfall.core.errors import ConfigError, CrestfallWarning
from crestfall.guard.average import WeightAverage
from crestfall.guard.exact import bare_name, refuse_uncapturable
from crestfall.guard.state import Schedule, State
from crestfall.store import statetree
from crestfall.store.checksums import checksums
from crestfall.store.statetree import Outline

if TYPE_CHECKING:
    from crestfall.guard.step_meter import StepMeter


class TrainerState(State):
    """Capture and restore for a guard.

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
        self.trained = TrainedWeights(model)
        parts = {"model": self.trained, "optimizer": optimizer, "scheduler": scheduler}
        beside = {"average": average, "pace": meter, "reference": reference}
        self._model = model
        super().__init__(parts | {name: item for name, item in beside.items() if item is not None}, schedule)

    def _find(self) -> None:
        super()._find()
        self.modules = {"model": self._model}

    def build(self) -> Any:
        """None: weights that come or go are left out of a snapshot, or out of a return."""
        return None

    def lacks(self, stored: Outline) -> str:
        """Why weights of a stored snapshot do not go into the model, or not all that it trains are there."""
        return self.trained.lacks({n: spec for n, spec in stored.tensors.items() if n.startswith("model.")})


class TrainedWeights:
    """The trainable weights and the buffers of a model. Frozen weights (the base under an adapter) are not copied as
    long as they stay what they were; where something writes into them after all (an adapter merged and unmerged), they
    are from then on."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._frozen = _sums({n: p for n, p in self._parameters() if not p.requires_grad})
        self._late: dict[str, Any] = {}
        self._drifted: set[str] = set()
        self._trained: set[str] = set()

    def state_dict(self) -> dict[str, Any]:
        self.note_unfrozen()
        self._trained |= {name for name, p in self._parameters() if p.requires_grad}
        return {**self._written_frozen(), **dict(self._changing())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        import torch

        saved = {**self._late, **state}
        live = {**dict(self._parameters()), **dict(self._buffers())}
        if odd := sorted(saved.keys() - live.keys()):
            raise ConfigError(f"the snapshot is of another model: it holds {odd[0]!r}, which this model lacks")
        if lost := sorted(self._drifted - saved.keys()):
            self._say(f"frozen weights have been written since ({lost[0]}), and the snapshot is from before: they stay")
        with torch.no_grad():
            for name, value in saved.items():
                live[name].copy_(value)

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

    def lacks(self, theirs: Mapping[str, Any]) -> str:
        """`theirs`: (dtype, shape) of a snapshot's tensors."""
        shapes = {f"model.{n}": tuple(p.shape) for n, p in (*self._parameters(), *self._buffers())}
        for name, (_, shape) in theirs.items():
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


def _sums(tensors: Mapping[str, Any]) -> dict[str, int]:
    """One checksum a name, also of tensors that are made of several."""
    sums: dict[str, int] = dict.fromkeys(tensors, 0)
    for i, (name, tensor) in enumerate(tensors.items()):
        leaves = statetree.look({str(i): tensor}).leaves
        sums[name] = sum(checksums(leaves).values())
    return sums
