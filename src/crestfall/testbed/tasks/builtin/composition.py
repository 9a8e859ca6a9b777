"""Compositions of operations: their English-like spec, their source, their meaning and the mistakes near to them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from crestfall.testbed.tasks.builtin.operations import CONSTANTS, OPERATIONS, Kind, Stage

STUB = "def f(x):"
_OPENINGS: dict[Kind, tuple[str, ...]] = {
    "list": ("given a list :", "for numbers x :"),
    "str": ("given a text :", "for text x :"),
    "int": ("given a number :", "for integer x :"),
}
_CONNECTIVES = (", then", "; next", ", and")


@dataclass(frozen=True, slots=True)
class Composition:
    """Stages applied one after the other. Stage i+1 takes what stage i gives."""

    stages: tuple[Stage, ...]

    @property
    def takes(self) -> Kind:
        return self.stages[0].operation.takes

    def over(self, inputs: Iterable[Any]) -> list[Any]:
        """Its result for each input."""
        functions = [stage.function for stage in self.stages]
        outputs = []
        for x in inputs:
            for function in functions:
                x = function(x)
            outputs.append(x)
        return outputs

    def source(self, answer: str = "return {}") -> str:
        """The program, a line a stage; `answer` says how the last value is given (`return {}`, `print({})`, ...)."""
        *inner, last = (stage.source for stage in self.stages)
        lines = [f"x = {expression}" for expression in inner] + [answer.format(last)]
        return STUB + "".join(f"\n    {line}" for line in lines)

    def spec(self, rng: np.random.Generator) -> str:
        """One of many phrasings, words separated by single spaces."""
        openings = _OPENINGS[self.takes]
        parts = [openings[int(rng.integers(len(openings)))]]
        for i, stage in enumerate(self.stages):
            if i:
                parts.append(_CONNECTIVES[int(rng.integers(len(_CONNECTIVES)))])
            parts.append(stage.phrase(int(rng.integers(12))))
        return " ".join(parts)

    def shortened(self) -> Iterator[Composition]:
        """Each composition with one stage left out that still fits together and takes the same input."""
        for i in range(len(self.stages)):
            rest = self.stages[:i] + self.stages[i + 1 :]
            if rest and _fits(rest) and rest[0].operation.takes == self.takes:
                yield Composition(rest)

    def mistakes(self) -> Iterator[Composition]:
        """Results of plausible wrong programs: a stage left out, two swapped, a constant or an operation off."""
        yield from self.shortened()
        stages = self.stages
        for i, stage in enumerate(stages):
            if i + 1 < len(stages):
                swapped = (*stages[:i], stages[i + 1], stage, *stages[i + 2 :])
                if _fits(swapped) and swapped[0].operation.takes == self.takes:
                    yield Composition(swapped)
            for other in _near(stage):
                yield Composition((*stages[:i], other, *stages[i + 1 :]))


def _fits(stages: Sequence[Stage]) -> bool:
    return all(a.operation.gives == b.operation.takes for a, b in pairwise(stages))


def _near(stage: Stage) -> Iterator[Stage]:
    """The neighbours in the operation table with the same types, and the same operation with a constant one off."""
    same = _by_types(stage.operation.takes, stage.operation.gives)
    place = same.index(stage.operation)
    for other in (same[place - 1], same[(place + 1) % len(same)]):
        if other is not stage.operation:
            yield Stage(other, (stage.k or 3) if other.has_constant else None)
    if stage.k is not None:
        yield replace(stage, k=stage.k + 1 if stage.k < CONSTANTS[-1] else stage.k - 1)


@cache
def _by_types(takes: Kind, gives: Kind) -> tuple[Any, ...]:
    return tuple(op for op in OPERATIONS if op.takes == takes and op.gives == gives)


@cache
def _by_input(takes: Kind) -> tuple[Any, ...]:
    return tuple(op for op in OPERATIONS if op.takes == takes)


# Chains start from a list twice as often: that is where the operations are.
_STARTS: tuple[Kind, ...] = ("list", "list", "str", "int")


def draw(rng: np.random.Generator, depth: int) -> Composition:
    """A random composition of `depth` stages."""
    kind: Kind = _STARTS[int(rng.integers(len(_STARTS)))]
    stages = []
    for _ in range(depth):
        choices = _by_input(kind)
        operation = choices[int(rng.integers(len(choices)))]
        stages.append(Stage(operation, int(rng.choice(CONSTANTS)) if operation.has_constant else None))
        kind = operation.gives
    return Composition(tuple(stages))


def is_unseen_pair(a: Stage, b: Stage) -> bool:
    """Whether `a` directly followed by `b` is kept out of every pool but the out-of-distribution one (1 pair in 12)."""
    name = f"{a.operation.takes} {a.operation.source} | {b.operation.source}"
    return hashlib.blake2b(name.encode(), digest_size=2).digest()[0] % 12 == 0


def has_unseen_pair(composition: Composition) -> bool:
    stages = composition.stages
    return any(is_unseen_pair(a, b) for a, b in pairwise(stages))
