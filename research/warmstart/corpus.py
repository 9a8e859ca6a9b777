"""The corpus of the warm start: problems of the warm pool alone.

It is a fair model of what a base model has read: most programs right, some wrong, and several conventions of
answering, of which the grader accepts one (`return`). What share of a later rise is only the convention is measured
(`competence` beside `pass@1`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import numpy as np

from crestfall.core.rng import stream
from crestfall.testbed.policies.tiny.tokenizer import EOS, Tokenizer
from crestfall.testbed.tasks.builtin import CONVENTIONS, drawn
from crestfall.testbed.tasks.builtin.composition import STUB, Composition
from crestfall.testbed.tasks.builtin.operations import CONSTANTS, OPERATIONS, Stage

Example = tuple[list[int], list[int]]
"""Token ids of a spec and of a completion."""


@dataclass(frozen=True)
class Recipe:
    start: Literal["nothing", "conventions"] = "nothing"
    """Weights at the start: random ones, or those that ship for the demo."""
    seed: int = 0
    problems: int = 6000
    """Distinct problems of the warm pool."""
    steps: int = 700
    """Updates taken, of a cosine schedule `schedule` long: the policy is left unfinished on purpose."""
    schedule: int = 1200
    batch: int = 64
    learning_rate: float = 2e-3
    wrong: float = 0.15
    """Share of stages replaced by a near mistake."""
    conventions: tuple[float, ...] = (0.35, 0.45, 0.2)
    """Shares of the answering conventions of `tasks.builtin.CONVENTIONS`: return, print, assign."""
    levels: tuple[int, ...] = (1, 2, 2, 3, 3, 3)
    width: int = 96
    layers: int = 3
    heads: int = 4


RECIPES = {
    "conventions": Recipe(),
    "skill": Recipe(start="conventions", steps=40, problems=400, learning_rate=1e-3, conventions=(1.0, 0.0, 0.0)),
}
"""Recipes of the two files of weights in the package."""


def vocabulary() -> Tokenizer:
    """Every word of every phrase and every piece of every source, under every convention."""
    stages = [Stage(op, k) for op in OPERATIONS for k in (CONSTANTS if op.has_constant else [None])]
    single = [Composition((stage,)) for stage in stages]
    specs = [c.spec(stream("vocabulary", i, c.stages[0].source)) for c in single for i in range(30)]
    connectives = ", ; then next and"
    programs = [Composition((c.stages[0], c.stages[0])).source(answer) for c in single for answer in CONVENTIONS]
    return Tokenizer.build([*specs, connectives], [program[len(STUB) :] for program in programs])


class Corpus:
    """Endless (spec, completion) examples of a fixed set of problems."""

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer) -> None:
        self.recipe = recipe
        self.tokenizer = tokenizer
        found = drawn("warm", recipe.levels, recipe.seed)
        self.compositions = [composition for composition, _ in islice(found, recipe.problems)]

    def batch(self, step: int) -> list[Example]:
        """The batch of a step. Four batches are drawn at once and sorted by length: a third less padding."""
        block, part = divmod(step, 4)
        rng = stream("warm start batch", self.recipe.seed, block)
        picks = rng.integers(len(self.compositions), size=4 * self.recipe.batch)
        pairs = sorted((self._example(self.compositions[i], rng) for i in picks), key=lambda pair: len(pair[0]))
        part = int(rng.permutation(4)[part])
        return pairs[part * self.recipe.batch : (part + 1) * self.recipe.batch]

    def _example(self, composition: Composition, rng: np.random.Generator) -> Example:
        spec = self.tokenizer.encode_spec(composition.spec(rng))
        answer = CONVENTIONS[rng.choice(len(CONVENTIONS), p=self.recipe.conventions)]
        program = self._with_mistakes(composition, rng).source(answer)
        return spec, [*self.tokenizer.encode_code(program[len(STUB) :]), EOS]

    def _with_mistakes(self, composition: Composition, rng: np.random.Generator) -> Composition:
        stages = tuple(near(s, rng) if rng.random() < self.recipe.wrong else s for s in composition.stages)
        return Composition(stages)


def near(stage: Stage, rng: np.random.Generator) -> Stage:
    """Another operation of the same types, or the same with another constant."""
    op = stage.operation
    if stage.k is not None and rng.random() < 0.5:
        return replace(stage, k=int(rng.choice(CONSTANTS)))
    same = [o for o in OPERATIONS if (o.takes, o.gives) == (op.takes, op.gives)]
    other = same[int(rng.integers(len(same)))]
    return Stage(other, int(rng.choice(CONSTANTS)) if other.has_constant else None)
