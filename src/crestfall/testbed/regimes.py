"""Methods x regimes: a study's file may name regimes, and every method is then run in each of them.

A method's options are laid over those of the regime, so that one method is one set of options, whatever the regime is.
In the study it becomes one method for each regime, called `REGIME.METHOD`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crestfall.core.errors import ConfigError
from crestfall.core.registry import nearest
from crestfall.store import yaml
from crestfall.testbed.overlay import overlaid

OWN = ("seeds", "regimes")
"""Keys that a method's file may hold besides options of a run."""


def expanded(options: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a study without `regimes`, its methods read from their files and multiplied by them.

    Args:
        options: the study's own keys. A method is a mapping of options, or the path of a YAML file that holds one;
            `regimes`, a list in a method, says in which regimes it is run.
        base: the run options that all cells share.

    Raises:
        ConfigError: no such file or regime, or something that is no mapping.
    """
    out = {key: value for key, value in options.items() if key != "regimes"}
    methods = options.get("methods")
    if not isinstance(methods, Mapping):
        return out
    read = {name: _read(name, method) for name, method in methods.items()}
    regimes = options.get("regimes")
    if regimes is None:
        if name := next((name for name, method in read.items() if "regimes" in method), None):
            raise ConfigError(f"methods.{name}.regimes: the study has no regimes")
        return {**out, "methods": read}
    if not isinstance(regimes, Mapping) or not all(isinstance(regime, Mapping) for regime in regimes.values()):
        raise ConfigError("regimes: expected names with the run options of each")
    return {**out, "methods": dict(_multiplied(read, regimes, base))}


def _multiplied(
    methods: Mapping[str, Mapping[str, Any]], regimes: Mapping[str, Mapping[str, Any]], base: Mapping[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    out = []
    for name, method in methods.items():
        chosen = method.get("regimes", list(regimes))
        if not isinstance(chosen, list):
            raise ConfigError(f"methods.{name}.regimes: expected a list, found {chosen!r}")
        own = {key: value for key, value in method.items() if key not in OWN}
        seeds = {"seeds": method["seeds"]} if "seeds" in method else {}
        for regime in chosen:
            if regime not in regimes:
                raise ConfigError(f"methods.{name}.regimes: no regime {regime!r}{nearest(str(regime), regimes)}")
            out.append((f"{regime}.{name}", overlaid(overlaid(base, regimes[regime]), own) | seeds))
    return out


def _read(name: str, method: Any) -> dict[str, Any]:
    if isinstance(method, str):
        method = yaml.load(Path(method))
    if not isinstance(method, Mapping):
        raise ConfigError(f"methods.{name}: expected options or the path of a YAML file, found {method!r}")
    return dict(method)
