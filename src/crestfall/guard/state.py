"""What a guard takes a snapshot of, and how it puts it back."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from crestfall.core.errors import ConfigError
from crestfall.guard.average import trainable
from crestfall.guard.exact import (
    finite,
    forget_gradients,
    load_module,
    load_optimizer,
    module_state,
    refuse_uncapturable,
)
from crestfall.guard.learning_rate import (
    forget,
    is_optimizer,
    is_scheduler,
    keep_rates,
    rates_of,
    scale_learning_rate,
)
from crestfall.guard.ranks import detect
from crestfall.store.statetree import Outline

Tree = Any
"""A state tree (see `crestfall.store.statetree`): what `state_dict()` returns, nested as it likes."""

Schedule = Literal["back", "on"]


@dataclass(frozen=True)
class Functions:
    """Functions of a guard.

    `scale_learning_rate`: None where no learning rate is within reach. `rates`: those in force. `strict`: parts of the
    tree (by their paths, as in `Outline.tensors`) that can be put back only where names, shapes and dtypes are the
    same. `classes`: of optimizers and schedulers by their paths, whose states fit no other class. `rates_stay`:
    `restore` leaves the learning rate as it is. `finite`: whether all trainable weights are finite numbers.
    """

    capture: Callable[[], Tree]
    restore: Callable[[Tree], None]
    scale_learning_rate: Callable[[float], None] | None = None
    strict: frozenset[str] = frozenset()
    classes: Mapping[str, str] = field(default_factory=dict)
    rates_stay: bool = False
    finite: Callable[[], bool] = lambda: True
    own: bool = False
    """The pair is the user's own."""
    generators: frozenset[str] = frozenset()
    """Parts of the tree that differ from rank to rank as they should: a restart does without another rank's."""
    lacks: Callable[[Outline], str] = lambda stored: ""
    """Why a stored snapshot misses something of the state, or has what the state has no place for."""
    forget_optimizer: Callable[[], None] | None = None
    """Lets the optimizers start anew; None where none is within reach."""
    weights: Callable[[], Mapping[str, Any]] = dict
    """The tensors that a mean over several snapshots is taken of; none where they are not within reach."""
    rates: Callable[[], list[float]] = list
    forget_gradients: Callable[[], None] = lambda: None
    """After a return: gradients that are there are of other weights."""
    prepare: Callable[[], None] = lambda: None
    """Gives optimizers that have not stepped yet their state, so that a sharded snapshot can be read into it."""


class Objects:
    """Capture and restore of named live objects: anything with `state_dict` and `load_state_dict` (models, optimizers,
    schedulers, scalers, data loaders), tensors and numpy arrays (written in place), random generators; and lists and
    dicts of these.

    `schedule`: `back` puts schedulers back where they were at the snapshot; `on` leaves them, and the learning rate
    with them, where they are.
    """

    def __init__(self, objects: Mapping[str, Any], schedule: Schedule = "back") -> None:
        if not isinstance(objects, Mapping):
            raise ConfigError(
                f"state: a dict of named objects was expected, as in state={{'model': model, 'optimizer': optimizer}}; "
                f"found a {type(objects).__name__}"
            )
        if not objects:
            raise ConfigError("state: is empty; name what is to be put back, or leave `state` out to decide only")
        for name, item in objects.items():
            _check(item, f"state[{name!r}]")
        self._objects, self._schedule = dict(objects), schedule

    def functions(self) -> Functions:
        named = _flat(self._objects)
        items = list(named.values())
        kinds = {
            path: f"{type(item).__module__}.{type(item).__qualname__}"
            for path, item in named.items()
            if is_optimizer(item) or is_scheduler(item)
        }
        return Functions(
            self.capture,
            self.restore,
            self._scale if any(is_optimizer(item) for item in items) else None,
            frozenset(path for path, item in named.items() if _is_module(item) or _is_array(item)),
            kinds,
            self._schedule == "on",
            lambda: all(finite(item) for item in items if _is_module(item) or _is_tensor(item)),
            generators=frozenset(name for name, item in self._objects.items() if isinstance(item, GlobalRng)),
            forget_optimizer=self._forget if any(is_optimizer(item) for item in items) else None,
            weights=self._weights,
            rates=lambda: [rate for item in filter(is_optimizer, items) for rate in rates_of(item)],
            forget_gradients=self._forget_gradients,
            prepare=self._prepare,
        )

    def capture(self) -> Tree:
        return {name: _capture(item, f"state[{name!r}]") for name, item in self._objects.items()}

    def restore(self, tree: Tree) -> None:
        if set(tree) != set(self._objects):
            raise ConfigError(f"the snapshot holds {sorted(tree)}, this guard's state is {sorted(self._objects)}")
        for name, item in self._objects.items():
            try:
                self._put_back(item, tree[name])
            except (RuntimeError, ValueError, TypeError) as error:  # what load_state_dict and copies into views raise
                raise ConfigError(f"state[{name!r}]: what was captured cannot be put back: {error}") from error

    def _put_back(self, item: Any, tree: Tree) -> None:
        if isinstance(item, Mapping):
            for key, part in item.items():
                self._put_back(part, tree[key])
        elif isinstance(item, list | tuple):
            for part, inner in zip(item, tree, strict=True):
                self._put_back(part, inner)
        elif self._schedule == "on" and is_scheduler(item):
            return
        elif self._schedule == "on" and is_optimizer(item):
            again = keep_rates(item)
            _restore(item, tree)
            again()
        else:
            _restore(item, tree)

    def _scale(self, factor: float) -> None:
        for item in _flat(self._objects).values():
            scale_learning_rate(item, factor)

    def _forget(self) -> None:
        for item in filter(is_optimizer, _flat(self._objects).values()):
            forget(item)

    def _forget_gradients(self) -> None:
        for item in filter(_is_module, _flat(self._objects).values()):
            forget_gradients(item.parameters())
        forget_gradients(filter(_is_tensor, _flat(self._objects).values()))

    def _weights(self) -> dict[str, Any]:
        weights: dict[str, Any] = {}
        for path, item in _flat(self._objects).items():
            if _is_module(item):
                weights |= {f"{path}.{name}": weight for name, weight in trainable(item).items()}
            elif _is_tensor(item) and item.is_floating_point():
                weights[path] = item
        return weights

    def _prepare(self) -> None:
        from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

        items = _flat(self._objects).values()
        modules = [item for item in items if _is_module(item)]
        for item in items:
            if is_optimizer(item) and not item.state:
                mine = {id(p) for group in item.param_groups for p in group["params"]}
                owner = next(m for m in modules if mine <= {id(p) for p in m.parameters()})
                get_optimizer_state_dict(owner, item)  # fills an empty state on the way


def functions(
    state: Any,
    capture: Callable[[], Tree] | None,
    restore: Callable[[Tree], None] | None,
    scale: Callable[[float], None] | None,
    schedule: Schedule,
) -> Functions | None:
    """Functions from a guard's arguments; None: it only decides. Raises ConfigError for half a pair or both kinds."""
    if hasattr(state, "functions"):  # a state that knows by itself, as a trainer's
        made: Functions = state.functions()
        return made
    if schedule not in ("back", "on"):
        raise ConfigError(f"schedule: 'back' or 'on', found {schedule!r}")
    if (capture is None) != (restore is None):
        raise ConfigError("capture, restore: give both or neither")
    if capture is not None and restore is not None:
        if state is not None:
            raise ConfigError("give either `state` or `capture` and `restore`")
        if schedule == "on":
            raise ConfigError("schedule: goes with `state`; with `capture` and `restore` yours decides")
        return Functions(capture, restore, scale, own=True)
    if scale is not None:
        raise ConfigError("scale_learning_rate goes with `capture` and `restore`")
    return None if state is None else Objects(state, schedule).functions()


class GlobalRng:
    """The process-wide generators of Python, numpy and torch (every device) as one thing with a `state_dict`.

    Put it into a guard's state to make training *resume* exactly. Leave it out where a rollback should lead somewhere
    else: the same weights, the same batches and the same random numbers walk into the same collapse. In a distributed
    run each rank takes back its own state.
    """

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {
            "rank": detect().rank,
            "python": random.getstate(),
            "numpy": np.random.get_state(legacy=False),  # noqa: NPY002  (the point is the global one)
        }
        if torch := sys.modules.get("torch"):
            state["torch"] = torch.get_rng_state()
            state["cuda"] = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state["rank"] != detect().rank:
            return
        random.setstate(state["python"])
        np.random.set_state(state["numpy"])  # noqa: NPY002
        if (torch := sys.modules.get("torch")) and "torch" in state:
            torch.set_rng_state(state["torch"])
            if state["cuda"]:
                torch.cuda.set_rng_state_all(state["cuda"])


def _check(item: Any, where: str) -> None:
    if isinstance(item, Mapping) and not _has_state_dict(item):
        for key, part in item.items():
            _check(part, f"{where}[{key!r}]")
    elif isinstance(item, list | tuple):
        for i, part in enumerate(item):
            _check(part, f"{where}[{i}]")
    elif not (_has_state_dict(item) or _is_array(item) or _is_generator(item)):
        raise ConfigError(
            f"{where}: a {type(item).__name__} has no state_dict and is neither an array nor a tensor; "
            "give the guard `capture` and `restore` instead"
        )
    else:
        refuse_uncapturable(item, where)


def _flat(item: Any, path: str = "") -> dict[str, Any]:
    """The objects in lists and dicts, by their paths: `models.0`."""
    parts: Iterable[tuple[Any, Any]]
    if isinstance(item, Mapping) and not _has_state_dict(item):
        parts = item.items()
    elif isinstance(item, list | tuple):
        parts = enumerate(item)
    else:
        return {path: item}
    return {name: inner for key, part in parts for name, inner in _flat(part, f"{path}.{key}".lstrip(".")).items()}


def _has_state_dict(item: Any) -> bool:
    return callable(getattr(item, "state_dict", None)) and callable(getattr(item, "load_state_dict", None))


def _is_tensor(item: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(item, torch.Tensor)


def _is_module(item: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(item, torch.nn.Module)


def _is_array(item: Any) -> bool:
    return isinstance(item, np.ndarray) or _is_tensor(item)


def _is_generator(item: Any) -> bool:
    torch = sys.modules.get("torch")
    return isinstance(item, np.random.Generator | random.Random) or (
        torch is not None and isinstance(item, torch.Generator)
    )


def _capture(item: Any, where: str) -> Tree:
    if _is_module(item):
        return module_state(item)
    if _has_state_dict(item):
        try:
            return item.state_dict()
        except Exception as error:
            raise ConfigError(f"{where}: its state_dict() fails: {type(error).__name__}: {error}") from error
    if isinstance(item, Mapping):
        return {key: _capture(part, f"{where}[{key!r}]") for key, part in item.items()}
    if isinstance(item, list | tuple):
        return [_capture(part, f"{where}[{i}]") for i, part in enumerate(item)]
    if isinstance(item, np.random.Generator):
        return item.bit_generator.state
    if isinstance(item, random.Random):
        return item.getstate()
    return item.get_state() if _is_generator(item) else item


def _restore(item: Any, tree: Tree) -> None:
    if _is_module(item):
        load_module(item, tree)
    elif is_optimizer(item):
        load_optimizer(item, tree)
    elif _has_state_dict(item):
        item.load_state_dict(tree)
    elif isinstance(item, np.random.Generator):
        item.bit_generator.state = tree
    elif isinstance(item, random.Random):
        item.setstate(tree)
    elif _is_generator(item):
        item.set_state(tree)
    elif isinstance(item, np.ndarray):
        item[...] = tree
    else:
        item.detach().copy_(tree)
