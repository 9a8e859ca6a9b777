"""Training state that a guard takes snapshots of and puts back."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np

from crestfall.core.errors import ConfigError
from crestfall.guard import exact
from crestfall.guard import learning_rate as rates
from crestfall.guard.average import trainable
from crestfall.guard.ranks import detect
from crestfall.store.statetree import Outline

Tree = Any
"""A state tree (see `crestfall.store.statetree`): what `state_dict()` returns, nested as it likes."""

Schedule = Literal["back", "on"]


class State:
    """Named live objects: anything with `state_dict` and `load_state_dict` (models, optimizers, schedulers, scalers,
    data loaders), tensors and numpy arrays (written in place), random generators; and lists and dicts of these.

    A snapshot names them by their paths: `models.0`. Keys of dicts that are neither strings nor integers (a parameter,
    as where every weight has an optimizer of its own) count by their place.

    `schedule`: `back` puts schedulers back where they were at the snapshot; `on` leaves them, and the learning rate
    with them, where they are.

    Raises:
        ConfigError: something that is none of these, or keeps parts of its state elsewhere.
    """

    own = False
    """Capture and restore are the user's own."""

    def __init__(self, objects: Mapping[str, Any], schedule: Schedule = "back") -> None:
        self._objects, self.rates_stay = objects, schedule == "on"
        self._find()
        self._odd: set[str] = set()
        """Tensors and arrays that hold NaN or infinity from the start, as a buffer that is filled little by little."""

    def _find(self) -> None:
        """Look through the lists and dicts, which may have changed."""
        self.items = _flat(self._objects)
        for path, item in self.items.items():
            _check(item, f"state[{path!r}]")
        self.modules = {path: item for path, item in self.items.items() if _is_module(item)}
        self.tensors = {path: item for path, item in self.items.items() if _is_tensor(item)}
        self.optimizers = {path: item for path, item in self.items.items() if rates.is_optimizer(item)}
        self.schedulers = {path: item for path, item in self.items.items() if rates.is_scheduler(item)}
        self.classes = {path: _class_of(item) for path, item in (self.optimizers | self.schedulers).items()}
        """Classes of optimizers and schedulers, whose states fit no other class."""
        self.strict = self.modules.keys() | {path for path, item in self.items.items() if _is_array(item)}
        """Paths of items that can be restored only if names, shapes and dtypes are the same."""
        self.generators = frozenset(path for path, item in self.items.items() if isinstance(item, GlobalRng))
        """Paths of random generators, which differ between ranks on purpose; a restart omits those of other ranks."""

    def capture(self) -> Tree:
        self._find()
        return {path: _capture(item, f"state[{path!r}]") for path, item in self.items.items()}

    def restore(self, tree: Tree) -> None:
        if set(tree) != set(self.items):
            raise ConfigError(f"the snapshot holds {sorted(tree)}, this guard's state is {sorted(self.items)}")
        for path, item in self.items.items():
            if self.rates_stay and rates.is_scheduler(item):
                continue
            again = rates.keep_rates(item) if self.rates_stay and rates.is_optimizer(item) else None
            try:
                _restore(item, tree[path])
            except (RuntimeError, ValueError, TypeError) as error:  # what load_state_dict and copies into views raise
                raise ConfigError(f"state[{path!r}]: what was captured cannot be put back: {error}") from error
            if again is not None:
                again()

    def moves_on(self, name: str) -> bool:
        """Whether a tensor in a snapshot stays as it is with `schedule="on"`: a scheduler's, or a learning rate."""
        of_scheduler = any(name.startswith(f"{path}.") for path in self.schedulers)
        return self.rates_stay and (of_scheduler or name.rsplit(".", 1)[-1] in rates.IN_GROUPS)

    def lacks(self, stored: Outline) -> str:
        """Why a stored snapshot misses something of the state, or has what the state has no place for."""
        return ""

    def begin(self) -> None:
        """Look at the values that there are before training."""
        self._odd = {path for path, item in self._arrays().items() if not exact.finite(item)}

    def finite(self) -> bool:
        """Whether all trainable weights are finite numbers."""
        others = [item for path, item in self._arrays().items() if path not in self._odd]
        return all(map(exact.finite, (*self.modules.values(), *others)))

    def _arrays(self) -> dict[str, Any]:
        """The tensors and arrays that are weights by themselves."""
        return {path: item for path, item in self.items.items() if _is_array(item)}

    def build(self) -> Any:
        """Names and shapes of the weights, and classes and groups of the optimizers: what a snapshot has to fit."""
        self._find()
        names = {
            f"{path}.{name}": tuple(weight.shape)
            for path, module in self.modules.items()
            for name, weight in module.named_parameters()
        }
        groups = {path: [len(group["params"]) for group in item.param_groups] for path, item in self.optimizers.items()}
        return names, groups, self.classes

    def trained_elsewhere(self, leaves: Iterable[Any]) -> str:
        """The path of an optimizer that trains weights which are in no module or tensor here, nor in the memory of
        `leaves`, the live tensors of a capture; "" if there is none, and where no weights are held at all."""
        if not (self.modules or self.tensors):
            return ""
        held = {id(p) for module in self.modules.values() for p in module.parameters()}
        held |= {id(tensor) for tensor in self.tensors.values()}
        places = {_address(leaf) for leaf in leaves} - {None}
        for path, item in self.optimizers.items():
            weights = [p for group in item.param_groups for p in group["params"] if p.requires_grad]
            if any(id(weight) not in held and _address(weight) not in places for weight in weights):
                return path
        return ""

    def weights(self) -> dict[str, Any]:
        """The tensors that a mean over several snapshots is taken of."""
        weights = {path: item for path, item in self.tensors.items() if item.is_floating_point()}
        for path, module in self.modules.items():
            weights |= {f"{path}.{name}": weight for name, weight in trainable(module).items()}
        return weights

    def transient(self) -> dict[str, Any]:
        """Buffers that a `state_dict` leaves out (persistent=False): no snapshot has them."""
        return {
            f"{path}.{name}": buffer
            for path, module in self.modules.items()
            for name, buffer in exact.transient_buffers(module).items()
        }

    def rates(self) -> list[float]:
        """The learning rates in force."""
        return [rate for item in self.optimizers.values() for rate in rates.rates_of(item)]

    def scale_learning_rate(self, factor: float) -> bool:
        """Whether a learning rate is within reach; it is multiplied then."""
        for item in self.items.values():
            rates.scale_learning_rate(item, factor)
        return bool(self.optimizers)

    def forget_optimizer(self) -> bool:
        """Whether an optimizer is within reach; it starts anew then."""
        for item in self.optimizers.values():
            rates.forget(item)
        return bool(self.optimizers)

    def forget_gradients(self) -> None:
        """After a return: gradients that are there are of other weights."""
        for module in self.modules.values():
            exact.forget_gradients(module.parameters())
        exact.forget_gradients(self.tensors.values())

    def prepare(self) -> None:
        """Give optimizers that have not stepped yet their state, so that a sharded snapshot can be read into it."""
        from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

        for item in self.optimizers.values():
            if not item.state:
                mine = {id(p) for group in item.param_groups for p in group["params"]}
                owner = next(m for m in self.modules.values() if mine <= {id(p) for p in m.parameters()})
                get_optimizer_state_dict(owner, item)  # fills an empty state on the way


class Pair(State):
    """Capture and restore are functions of the user's own, and so is what multiplies the learning rate, if anything."""

    own = True

    def __init__(
        self, capture: Callable[[], Tree], restore: Callable[[Tree], None], scale: Callable[[float], None] | None
    ) -> None:
        super().__init__({})
        self._capture, self._restore, self._scale = capture, restore, scale

    def capture(self) -> Tree:
        return self._capture()

    def restore(self, tree: Tree) -> None:
        self._restore(tree)

    def scale_learning_rate(self, factor: float) -> bool:
        if self._scale is not None:
            self._scale(factor)
        return self._scale is not None


def state_of(
    state: Any,
    capture: Callable[[], Tree] | None,
    restore: Callable[[Tree], None] | None,
    scale: Callable[[float], None] | None,
    schedule: Schedule,
) -> State | None:
    """A guard's state from its arguments; None: it only decides. Raises ConfigError for half a pair or both kinds."""
    if isinstance(state, State):
        return state
    if schedule not in ("back", "on"):
        raise ConfigError(f"schedule: expected 'back' or 'on', found {schedule!r}")
    if (capture is None) != (restore is None):
        raise ConfigError("capture and restore: give both or neither")
    if capture is not None and restore is not None:
        if state is not None:
            raise ConfigError("give either `state` or `capture` and `restore`")
        if schedule == "on":
            raise ConfigError("schedule needs `state`; with `capture` and `restore` your functions handle schedulers")
        return Pair(capture, restore, scale)
    if scale is not None:
        raise ConfigError("scale_learning_rate needs `capture` and `restore`")
    if state is None:
        return None
    if not isinstance(state, Mapping):
        raise ConfigError(
            f"state: a dict of named objects was expected, as in state={{'model': model, 'optimizer': optimizer}}; "
            f"found a {type(state).__name__}"
        )
    if not state:
        raise ConfigError("state is empty; name the objects to restore, or leave `state` out to decide only")
    return State(state, schedule)


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
    if not (_has_state_dict(item) or _is_array(item) or _is_generator(item)):
        raise ConfigError(
            f"{where}: a {type(item).__name__} has no state_dict and is neither an array nor a tensor; "
            "give the guard `capture` and `restore` instead"
        )
    exact.refuse_uncapturable(item, where)


def _flat(item: Any, path: str = "") -> dict[str, Any]:
    """The objects in lists and dicts, by their paths."""
    parts: Iterable[tuple[Any, Any]]
    if isinstance(item, Mapping) and not _has_state_dict(item):
        parts = ((key if isinstance(key, str | int) else i, part) for i, (key, part) in enumerate(item.items()))
    elif isinstance(item, list | tuple):
        parts = enumerate(item)
    else:
        return {path: item}
    out: dict[str, Any] = {}
    for key, part in parts:
        inner = _flat(part, f"{path}.{key}" if path else str(key))
        if twice := out.keys() & inner.keys():
            raise ConfigError(f"state: two objects have the name {min(twice)!r}")
        out |= inner
    return out


def _class_of(item: Any) -> str:
    kind = type(rates.unwrapped(item))
    return f"{kind.__module__}.{kind.__qualname__}"


def _has_state_dict(item: Any) -> bool:
    return callable(getattr(item, "state_dict", None)) and callable(getattr(item, "load_state_dict", None))


def _is_tensor(item: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(item, torch.Tensor)


def _is_module(item: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(item, torch.nn.Module)


def _address(item: Any) -> int | None:
    """Where the numbers of a plain tensor are."""
    plain = _is_tensor(item) and type(item).__name__ in ("Tensor", "Parameter")
    return item.untyped_storage().data_ptr() if plain else None


def _is_array(item: Any) -> bool:
    return isinstance(item, np.ndarray) or _is_tensor(item)


def _is_generator(item: Any) -> bool:
    torch = sys.modules.get("torch")
    return isinstance(item, np.random.Generator | np.random.RandomState | random.Random) or (
        torch is not None and isinstance(item, torch.Generator)
    )


def _capture(item: Any, where: str) -> Tree:
    if _is_module(item):
        return exact.module_state(item)
    if _has_state_dict(item):
        try:
            return item.state_dict()
        except Exception as error:
            raise ConfigError(f"{where}: its state_dict() fails: {type(error).__name__}: {error}") from error
    if isinstance(item, np.random.Generator):
        return item.bit_generator.state
    if isinstance(item, random.Random):
        return item.getstate()
    return item.get_state() if _is_generator(item) else item


def _restore(item: Any, tree: Tree) -> None:
    if _is_module(item):
        exact.load_module(item, tree)
    elif rates.is_optimizer(item):
        exact.load_optimizer(item, tree)
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
