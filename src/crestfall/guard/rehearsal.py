"""Will this snapshot go back into that state? Told from names, shapes, dtypes and classes, before it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crestfall.guard.state import State
from crestfall.store.statetree import Outline


def misfit(stored: Outline, live: Outline, state: State, classes: Mapping[str, str] | None = None) -> str:
    """Why a stored state cannot be put back into the live one, in a clause; "" where it can.

    An optimizer's moments may be in only one of them: they appear with its first step. `classes`: of the optimizers and
    schedulers that the stored state was taken from.
    """
    if state.own:
        return _other_shapes(stored, live)
    if isinstance(stored.skeleton, dict) and stored.skeleton.keys() != live.skeleton.keys():
        return f"it holds {_listed(stored.skeleton)}, the state here is {_listed(live.skeleton)}"
    for name, kind in (classes or {}).items():
        if name in state.classes and state.classes[name] != kind:
            return f"{name} is a {state.classes[name]} here and a {kind} there"
    for name in state.strict:
        mine, theirs = (_below(outline, name) for outline in (live, stored))
        if odd := sorted(mine.keys() ^ theirs.keys()):
            more = f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""
            return f"{odd[0]} is in the {'state here' if odd[0] in mine else 'snapshot'} alone{more}"
    for name in state.classes:
        here, there = (_groups(outline.skeleton, name) for outline in (live, stored))
        if here != there:
            return f"{name} has parameter groups of {here} here and {there} there"
    return _other_shapes(stored, live)


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Paths at which two skeletons hold other numbers, strings or lists; what only one of two dicts has is left out."""
    if isinstance(one, dict) and isinstance(other, dict):
        both = [key for key in one if key in other]
        return [odd for key in both for odd in differences(one[key], other[key], f"{path}.{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [odd for i, pair in enumerate(zip(one, other, strict=True)) for odd in differences(*pair, f"{path}.{i}")]
    return [] if type(one) is type(other) and one == other else [path.lstrip(".")]


def _other_shapes(stored: Outline, live: Outline) -> str:
    for name in live.tensors:
        if name in stored.tensors and stored.tensors[name] != live.tensors[name]:
            here, there = (_spelt(outline.tensors[name]) for outline in (live, stored))
            return f"{name} is {here} here and {there} there"
    return ""


def _spelt(spec: Any) -> str:
    return "nothing" if spec is None else f"{spec[0]}{list(spec[1])}"


def _below(outline: Outline, name: str) -> dict[str, Any]:
    return {path: spec for path, spec in outline.tensors.items() if path == name or path.startswith(f"{name}.")}


def _groups(skeleton: Any, name: str) -> list[int] | None:
    """Parameters of each group of an optimizer's state."""
    try:
        return [len(group["params"]) for group in skeleton[name]["param_groups"]]
    except (KeyError, TypeError):
        return None


def _listed(skeleton: Mapping[str, Any]) -> str:
    return ", ".join(sorted(map(str, skeleton)))
