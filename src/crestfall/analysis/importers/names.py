"""Many runs side by side: each once, and with names that can be told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

import numpy as np

from crestfall.analysis.importers.numbers import count_distinct
from crestfall.analysis.trajectory import Trajectory

FEWEST_TO_COMPARE = 5
ROUNDED = 6e-4
"""Consoles print three decimals."""


def merged(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """Runs that stand twice in a folder (a copy, an older copy), or in files of several formats (an event file beside a
    CSV), once: the one with the most points remains and says what was left out."""
    kept = _once(trajectories, lambda t: (t.source.parent, *_beginning(t)))
    return _once(kept, lambda t: None) if len({_format(t) for t in kept}) > 1 else kept


def _once(trajectories: Sequence[Trajectory], group: Callable[[Trajectory], Hashable]) -> list[Trajectory]:
    """Trajectories of one group without duplicates."""
    kept: dict[Hashable, list[Trajectory]] = {}
    for t in trajectories:
        some = kept.setdefault(group(t), [])
        same = next((i for i, other in enumerate(some) if _holds(other, t) or _holds(t, other)), len(some))
        some[same : same + 1] = [_longer(some[same], t) if same < len(some) else t]
    order = {id(t): i for i, t in enumerate(trajectories)}
    return sorted((t for some in kept.values() for t in some), key=lambda t: order.get(id(t), 0))


def _longer(*both: Trajectory) -> Trajectory:
    longer, other = sorted(both, key=lambda one: (-len(one), _format(one) == "console log"))
    return replace(longer, notes=(*longer.notes, f"{other.source} is the same run: left out"))


def _beginning(t: Trajectory) -> tuple[Hashable, ...]:
    return t.metric, t.steps_S[:FEWEST_TO_COMPARE].tobytes(), t.values_S[:FEWEST_TO_COMPARE].tobytes()


def _holds(longer: Trajectory, other: Trajectory) -> bool:
    """Whether all points of `other` are points of `longer`, of the same metric, and too many for a coincidence."""
    if longer.select is not None or other.select is not None or len(other) > len(longer):
        return False
    if longer.metric.rpartition("/")[2] != other.metric.rpartition("/")[2] or longer.source == other.source:
        return False
    if _format(longer) == _format(other) and longer.source.parent != other.source.parent:
        return False
    if len(other) < FEWEST_TO_COMPARE or count_distinct(other.values_S) < FEWEST_TO_COMPARE:
        return False
    at_S = np.searchsorted(longer.steps_S, other.steps_S)
    if (at_S >= len(longer)).any() or not np.array_equal(longer.steps_S[at_S], other.steps_S):
        return False
    within = 0.0 if _format(longer) == _format(other) else ROUNDED
    return bool(np.allclose(longer.values_S[at_S], other.values_S, rtol=within / 600, atol=within))


def _format(trajectory: Trajectory) -> str:
    return trajectory.why.partition(":")[0]


def told_apart(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """Names that occur twice get as many directories before them as it takes; what is left, a number."""
    names = [t.name for t in trajectories]
    keys = [(t.name, t.metric) for t in trajectories]
    for depth in range(1, 12):
        counts = Counter(keys)
        twice = [i for i, key in enumerate(keys) if counts[key] > 1]
        if not twice:
            break
        for i in twice:
            t = trajectories[i]
            parents = [p.name for p in t.source.resolve().parents if p.name]
            if t.name == (parents[0] if parents else ""):
                parents = parents[1:]
            names[i] = "/".join([*reversed(parents[:depth]), t.name])
        keys = [(name, t.metric) for name, t in zip(names, trajectories, strict=True)]
    seen: dict[tuple[str, str], int] = {}
    repeated = {key for key, count in Counter(keys).items() if count > 1}
    for i, key in enumerate(keys):
        seen[key] = seen.get(key, 0) + 1
        if key in repeated:
            names[i] = f"{names[i]} #{seen[key]}"
    return [t if t.name == name else replace(t, name=name) for t, name in zip(trajectories, names, strict=True)]
