"""What there is to take back of a transformers Trainer: trainable weights, buffers, optimizer, scheduler."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crestfall.core.errors import ConfigError
from crestfall.guard.learning_rate import scale_learning_rate


class TrainerState:
    """Capture and restore for a guard. Frozen weights (the base under an adapter) are neither copied nor touched.

    `optimizer` and `scheduler` may be accelerate's wrappers. Not covered: fp16's loss scaler, and weights that are
    sharded over ranks (FSDP, DeepSpeed).
    """

    def __init__(self, model: Any, optimizer: Any, scheduler: Any) -> None:
        self._model, self._optimizer, self._scheduler = model, optimizer, scheduler

    def capture(self) -> dict[str, Any]:
        return {
            "model": dict(_changing(self._model)),
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        import torch

        live, saved = dict(_changing(self._model)), tree["model"]
        if live.keys() != saved.keys():
            odd = sorted(live.keys() ^ saved.keys())[0]
            raise ConfigError(f"the snapshot is of another model: {odd!r} is in only one of them")
        with torch.no_grad():
            for name, tensor in live.items():
                tensor.copy_(saved[name])
        self._optimizer.load_state_dict(tree["optimizer"])
        self._scheduler.load_state_dict(tree["scheduler"])

    def scale_learning_rate(self, factor: float) -> None:
        scale_learning_rate(self._optimizer, factor)
        scale_learning_rate(self._scheduler, factor)


def refuse_sharded() -> None:
    """Raises ConfigError where accelerate shards the weights, whose snapshots this module cannot take."""
    from accelerate.state import AcceleratorState

    kind = str(AcceleratorState().distributed_type).rsplit(".", 1)[-1]
    if kind in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        raise ConfigError(
            f"CrestfallCallback takes snapshots of whole weights, and this run shards them ({kind}): "
            "use crestfall.Guard with `capture` and `restore` that gather and scatter them"
        )


def forget_rollouts(trainer: Any) -> None:
    """Make a TRL trainer sample anew: its buffered completions, and a vLLM engine's weights, are those from before the
    rollback. The names are TRL's own (1.16); a trainer without them has nothing to forget."""
    for name, value in (("_buffered_inputs", None), ("_step", 0), ("_last_loaded_step", -1)):
        if hasattr(trainer, name):
            setattr(trainer, name, value)


def _changing(model: Any) -> Iterator[tuple[str, Any]]:
    """Trainable parameters and persistent buffers by name; a parameter that has two names has its first."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name, parameter
    persistent = model.state_dict().keys()
    for name, buffer in model.named_buffers():
        if name in persistent:
            yield name, buffer
