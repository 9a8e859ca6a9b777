"""What a guard takes a snapshot of, and how it puts it back."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from crestfall.core.errors import ConfigError

Tree = Any
"""A state tree (see `crestfall.store.statetree`): what `state_dict()` returns, nested as it likes."""


class Objects:
    """Capture and restore of named live objects: anything with `state_dict` and `load_state_dict` (models, optimizers,
    schedulers, scalers, data loaders), tensors and numpy arrays (written in place), numpy generators.
    """

    def __init__(self, objects: Mapping[str, Any]) -> None:
        for name, item in objects.items():
            if not (_has_state_dict(item) or _is_array(item) or isinstance(item, np.random.Generator)):
                raise ConfigError(
                    f"state[{name!r}]: a {type(item).__name__} has no state_dict and is no array or tensor; "
                    "give the guard `capture` and `restore` instead"
                )
        self._objects = dict(objects)

    def capture(self) -> Tree:
        return {name: _capture(item) for name, item in self._objects.items()}

    def restore(self, tree: Tree) -> None:
        if set(tree) != set(self._objects):
            raise ConfigError(f"the snapshot holds {sorted(tree)}, this guard's state is {sorted(self._objects)}")
        for name, item in self._objects.items():
            _restore(item, tree[name])

    @property
    def has_learning_rate(self) -> bool:
        return any(hasattr(item, "param_groups") for item in self._objects.values())

    def scale_learning_rate(self, factor: float) -> None:
        for item in self._objects.values():
            scale_learning_rate(item, factor)


def scale_learning_rate(item: Any, factor: float) -> None:
    """Multiply the learning rates of an optimizer, and what a scheduler works them out from. Anything else has none."""
    for group in getattr(item, "param_groups", ()):
        for key in group.keys() & {"lr", "initial_lr", "max_lr", "min_lr"}:
            group[key] = group[key] * factor
    if hasattr(item, "get_last_lr"):
        _scale_scheduler(getattr(item, "scheduler", item), factor)  # accelerate wraps them


def _scale_scheduler(scheduler: Any, factor: float) -> None:
    for key in scheduler.__dict__.keys() & {"base_lrs", "max_lrs", "_last_lr"}:
        setattr(scheduler, key, [rate * factor for rate in getattr(scheduler, key)])
    for part in getattr(scheduler, "_schedulers", ()):  # of SequentialLR and ChainedScheduler
        _scale_scheduler(part, factor)


class GlobalRng:
    """The process-wide generators of Python, numpy and torch (every device) as one thing with a `state_dict`.

    Put it into a guard's state to make training *resume* exactly. Leave it out where a rollback should lead somewhere
    else: the same weights, the same batches and the same random numbers walk into the same collapse. In a distributed
    run each rank takes back its own state only; a snapshot read from disk after a restart is rank 0's.
    """

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {
            "rank": _rank(),
            "python": random.getstate(),
            "numpy": np.random.get_state(legacy=False),  # noqa: NPY002  (the point is the global one)
        }
        if torch := sys.modules.get("torch"):
            state["torch"] = torch.get_rng_state()
            state["cuda"] = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state["rank"] != _rank():
            return
        random.setstate(state["python"])
        np.random.set_state(state["numpy"])  # noqa: NPY002
        if (torch := sys.modules.get("torch")) and "torch" in state:
            torch.set_rng_state(state["torch"])
            if state["cuda"]:
                torch.cuda.set_rng_state_all(state["cuda"])


class Functions(NamedTuple):
    """What a guard works with."""

    capture: Callable[[], Tree]
    restore: Callable[[Tree], None]
    scale_learning_rate: Callable[[float], None] | None
    """None: there is no learning rate within reach."""


def functions(
    state: Mapping[str, Any] | None,
    capture: Callable[[], Tree] | None,
    restore: Callable[[Tree], None] | None,
    scale: Callable[[float], None] | None,
) -> Functions | None:
    """What is made of a guard's arguments; None: it only decides. Raises ConfigError for half a pair or both kinds."""
    if (capture is None) != (restore is None):
        raise ConfigError("capture, restore: give both or neither")
    if capture is not None and restore is not None:
        if state is not None:
            raise ConfigError("give either `state` or `capture` and `restore`")
        return Functions(capture, restore, scale)
    if scale is not None:
        raise ConfigError("scale_learning_rate goes with `capture` and `restore`")
    if state is None:
        return None
    objects = Objects(state)
    return Functions(
        objects.capture, objects.restore, objects.scale_learning_rate if objects.has_learning_rate else None
    )


def _has_state_dict(item: Any) -> bool:
    return callable(getattr(item, "state_dict", None)) and callable(getattr(item, "load_state_dict", None))


def _is_array(item: Any) -> bool:
    torch = sys.modules.get("torch")
    return isinstance(item, np.ndarray) or (torch is not None and isinstance(item, torch.Tensor))


def _capture(item: Any) -> Tree:
    if _has_state_dict(item):
        return item.state_dict()
    return item.bit_generator.state if isinstance(item, np.random.Generator) else item


def _restore(item: Any, tree: Tree) -> None:
    if _has_state_dict(item):
        item.load_state_dict(tree)
    elif isinstance(item, np.random.Generator):
        item.bit_generator.state = tree
    elif isinstance(item, np.ndarray):
        item[...] = tree
    else:
        item.detach().copy_(tree)


def _rank() -> int:
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return 0
    return int(torch.distributed.get_rank())
