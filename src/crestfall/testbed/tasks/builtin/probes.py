"""The inputs that tell compositions apart, and the key of a problem: what its reference answers on all of them.

Two phrasings, or two compositions that compute the same function of every probe, share a key: pools that are disjoint
by key share no problem under another name.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import cache
from typing import Any

from crestfall.core.rng import stream
from crestfall.testbed.tasks.builtin.composition import Composition
from crestfall.testbed.tasks.builtin.operations import Kind

N_PROBES = 240
MAX_ANSWER = 600  # characters of `repr`
_FIRST = 48  # most of what makes no problem shows on so few probes

_EDGES: dict[Kind, tuple[Any, ...]] = {
    "list": ([], [0], [7], [-4], [1, 1], [5, 2], [-3, 8, -3], [2, 4, 6, 8, 10, 12], [9, 7, 5, 3, 1], [0, -1, 1, 0]),
    "str": ("", " ", "a", "Hi", "abc abc", "  Two words ", "x1y22", "AEIOU aeiou", "b9 C8 d7 E6", "zz top 2024"),
    "int": (0, 1, -1, 2, 9, 10, -10, 37, 100, -256),
}
_LETTERS = "abcdefghijklmnopqrstuvwxyzABEIOQRSTU0123456789     "


@cache
def probes(kind: Kind) -> tuple[Any, ...]:
    """`N_PROBES` fixed inputs of a kind, the edge cases first."""
    rng = stream("builtin probes", kind)
    out: list[Any] = list(_EDGES[kind])
    while len(out) < N_PROBES:
        size = int(rng.integers(1, 13))
        if kind == "list":
            low, high = ((-20, 21), (-9, 10), (0, 30), (-60, 61))[rng.integers(4)]
            out.append([int(v) for v in rng.integers(low, high, size)])
        elif kind == "str":
            out.append("".join(_LETTERS[i] for i in rng.integers(0, len(_LETTERS), size + 3)))
        else:
            out.append(int(rng.integers(-300, 301)))
    return tuple(out)


def answers(composition: Composition, n: int = N_PROBES) -> list[Any]:
    """Results of a composition on the first `n` probes of its input kind."""
    return composition.over(probes(composition.takes)[:n])


def key_of(composition: Composition) -> str | None:
    """The canonical key, or None where the composition makes no problem: its answers are nearly all the same or too
    long to be read, or a stage changes nothing."""
    first = [repr(v) for v in answers(composition, _FIRST)]
    if _monotonous(first) or any(
        first == [repr(v) for v in answers(shorter, _FIRST)] for shorter in composition.shortened()
    ):
        return None
    values = [repr(v) for v in answers(composition)]
    if _monotonous(values) or max(map(len, values)) > MAX_ANSWER:
        return None
    digest = hashlib.blake2b(composition.takes.encode(), digest_size=12)
    for value in values:
        digest.update(value.encode() + b"\0")
    return digest.hexdigest()


def _monotonous(values: list[str]) -> bool:
    return Counter(values).most_common(1)[0][1] > len(values) // 2
