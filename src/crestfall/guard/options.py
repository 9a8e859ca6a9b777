"""Arguments of a guard: controllers by name, checks of combinations, and calls to user functions that may fail."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from crestfall.control.base import Controller
from crestfall.core.build import component
from crestfall.core.errors import ConfigError, CrestfallWarning


def as_controller(control: str | Mapping[str, Any] | Controller) -> Controller:
    """A registered controller by its name or options; any other object is taken for a controller as it is.

    Raises:
        ConfigError: an unknown name or option, or an object without a controller's methods.
    """
    if isinstance(control, str):
        control = {"name": control}
    if isinstance(control, Mapping):
        built: Controller = component("control", control)
        return built
    for method in ("init", "decide", "keep", "last"):
        if not callable(getattr(control, method, None)):
            raise ConfigError(f"control: a {type(control).__name__} is not a controller: it has no method {method!r}")
    return control


def check_keep(keep: str, checkpoints: object, state: object) -> None:
    """Raises ConfigError where what is kept and what is given for it do not go together."""
    if keep not in ("snapshots", "best"):
        raise ConfigError(f"keep: expected 'snapshots' or 'best', found {keep!r}")
    if keep == "best" and state is not None:
        raise ConfigError("keep='best' only decides: leave `state`, `capture` and `restore` out")
    if (keep == "best") != (checkpoints is not None):
        raise ConfigError("keep='best' and checkpoints='.../checkpoint-{step}' go together")


def tolerate(call: Callable[..., object], *args: object) -> None:
    """A disk that is full or an alert that cannot be sent must not end a training run: it becomes a warning."""
    try:
        call(*args)
    except Exception as error:
        warnings.warn(f"crestfall guard: {error}", CrestfallWarning, stacklevel=4)
