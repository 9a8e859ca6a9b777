"""Components by kind and name. A component is a frozen dataclass: its fields are its hyperparameters.

One file adds one: define the dataclass, decorate it with `@register("update", "my_rule")`, import it (or name its
module in the config's `plugins`). Configuration, `crestfall list` and the contract tests then know it.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from crestfall.core.errors import ConfigError

T = TypeVar("T")

_COMPONENTS: dict[str, dict[str, type[Any]]] = {}

# Where the built-in components of each kind live. They are imported when the kind is first asked for, so that `--help`
# and analysis never pay for torch: a module listed here must import heavy libraries inside its functions.
_MODULES: dict[str, tuple[str, ...]] = {
    "tasks": (
        "crestfall.testbed.tasks.builtin",
        "crestfall.testbed.tasks.sentences",
        *(f"crestfall.testbed.tasks.{name}" for name in ("apps", "humaneval", "jsonl", "livecodebench", "mbpp")),
    ),
    "policy": ("crestfall.testbed.policies.tiny", "crestfall.testbed.policies.hf"),
    "update": tuple(f"crestfall.testbed.updates.{name}" for name in ("reinforce", "rloo", "grpo", "dr_grpo", "dapo")),
    "kl": ("crestfall.testbed.updates.kl",),
    "ewc": ("crestfall.testbed.updates.ewc",),
    "pace": ("crestfall.control.pace",),
    "control": (
        "crestfall.control.basic",
        "crestfall.control.early_stop",
        "crestfall.control.alert",
        "crestfall.control.crest",
        "crestfall.control.crest2",
        "crestfall.control.race",
        "crestfall.control.plateau",
    ),
    "care": ("crestfall.control.care.base", "crestfall.control.care.controller"),
    "engine": ("crestfall.testbed.engines.select", "crestfall.testbed.engines.trl"),
    "importer": tuple(
        f"crestfall.analysis.importers.{name}"
        for name in (
            "arrays",
            "checkpoints",
            "console",
            "document",
            "json_file",
            "jsonl",
            "mlflow",
            "open_instruct",
            "table",
            "tensorboard",
            "trl_state",
            "sqlite",
            "swanlab",
            "wandb_file",
        )
    ),
}


def register(kind: str, name: str) -> Callable[[type[T]], type[T]]:
    """Class decorator: make a frozen dataclass known as component `name` of `kind`."""

    def add(cls: type[T]) -> type[T]:
        if not dataclasses.is_dataclass(cls):
            raise TypeError(f"{cls.__name__} must be a frozen dataclass to be registered as {kind} {name!r}")
        known = _COMPONENTS.setdefault(kind, {}).setdefault(name, cls)
        if known is not cls:
            raise ValueError(f"{kind} {name!r} is registered twice: {known.__module__} and {cls.__module__}")
        cls.name = name  # type: ignore[attr-defined]
        return cls

    return add


def import_plugins(names: object) -> None:
    """Import the modules that a configuration names, which register components. Raises ConfigError."""
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"plugins: expected a list of module names, found {names!r}")
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # it is somebody's code
            raise ConfigError(f"plugins: cannot import {name!r}: {type(error).__name__}: {error}") from None


def kinds() -> tuple[str, ...]:
    return tuple(_MODULES)


def components(kind: str) -> Mapping[str, type[Any]]:
    """All registered components of a kind, by name.

    Raises:
        ConfigError: no such kind.
    """
    if kind not in _MODULES:
        raise ConfigError(f"no such kind of component: {kind!r}{nearest(kind, _MODULES)}")
    for module in _MODULES[kind]:
        importlib.import_module(module)
    return dict(sorted(_COMPONENTS.get(kind, {}).items()))


def lookup(kind: str, name: str) -> type[Any]:
    """The component class. Raises ConfigError that names the nearest one where there is none."""
    if name in _COMPONENTS.get(kind, {}):  # a plugin's, or imported before: no need to import the whole kind
        return _COMPONENTS[kind][name]
    known = components(kind)
    if name not in known:
        raise ConfigError(f"{kind}.name: no {kind} is called {name!r}{nearest(name, known)}; known: {', '.join(known)}")
    return known[name]


def nearest(word: str, known: Any) -> str:
    """`; did you mean 'x'?` or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
