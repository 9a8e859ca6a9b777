"""One-line functions told in a sentence, as a task source: what a small language model can do now and then.

MBPP and HumanEval are out of reach of a model of a hundred million parameters, and without a reward no weight moves.
Every function is called f; its one argument is x, xs or s. Problems are told apart by what they return.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

from crestfall.core.registry import register
from crestfall.core.rng import digest
from crestfall.core.types import CallCase, CallTests, Problem
from crestfall.testbed.tasks.base import CampaignSets, Sizes
from crestfall.testbed.tasks.builtin.source import returning
from crestfall.testbed.tasks.sentences.families import FAMILIES, INPUTS, Family
from crestfall.testbed.tasks.split import Pool, Pools, Shares

NUMBERS = range(2, 12)
UNSEEN = 7
"""Every so-manieth family is in no pool: the out-of-distribution slice."""


@register("tasks", "sentences")
@dataclass(frozen=True)
class Sentences:
    """One-line functions, each described in one sentence, on numbers, lists and text. Small pretrained models can solve
    some."""

    name: ClassVar[str]

    pools: Shares = field(default_factory=Shares)
    """The shares of train, select, report and final among the problems."""

    def campaign(self, seed: int, campaign: int, sizes: Sizes) -> CampaignSets:
        """The sets of a campaign, disjoint by meaning. Raises ConfigError where a pool is used up."""

        def draw(pool: Pool, size: int) -> Sequence[Problem]:
            return _pools(self.pools).draw(pool, campaign * size, (campaign + 1) * size, seed)

        return CampaignSets(draw("train", sizes.train), draw("select", sizes.select), draw("report", sizes.report))

    def final(self, size: int) -> Sequence[Problem]:
        return _pools(self.pools).draw("final", 0, size)

    def check(self, campaigns: int, sizes: Sizes, final: int) -> None:
        self.campaign(0, campaigns - 1, sizes)
        self.final(final)

    def unseen(self, seed: int, size: int) -> Sequence[Problem]:
        """Problems of families that no pool has."""
        known = list(problems(FAMILIES[::UNSEEN]))
        return sorted(known, key=lambda problem: digest("sentences unseen", seed, problem.key))[:size]

    def any_convention(self, problem: Problem, program: str) -> str | None:
        """The program with its last value returned, where it prints, assigns or just states it; else None."""
        return returning(program)


@lru_cache(maxsize=4)
def _pools(shares: Shares) -> Pools:
    seen = [family for number, family in enumerate(FAMILIES) if number % UNSEEN]
    one_of_each: dict[str, Problem] = {}
    for problem in problems(seen):
        one_of_each.setdefault(problem.key, problem)
    return Pools.of(one_of_each.values(), shares, "sentences")


def problems(families: Sequence[Family]) -> Iterator[Problem]:
    """One problem for each family and number."""
    for number, family in enumerate(families):
        for k in NUMBERS:
            yield problem(family, k, f"sentences/{family.takes}{number}-{k}")


def problem(family: Family, k: int, task_id: str) -> Problem:
    says, expression = family.says.format(k=k), family.expression.format(k=k)
    inputs = [*INPUTS[family.takes], *_close_to(family.takes, k)]
    cases = tuple(CallCase((value,), eval(expression, {family.takes: value})) for value in inputs)
    stub = f'def f({family.takes}):\n    """Return {says}."""\n'
    return Problem(
        task_id=task_id,
        prompt=stub,
        tests=CallTests("f", cases),
        key=digest("sentences", family.takes, repr([case.expected for case in cases])).hex()[:16],
        stub=stub,
        reference=f"{stub}    return {expression}\n",
    )


def _close_to(takes: str, k: int) -> list[Any]:
    """Inputs at which a mistake of one shows."""
    match takes:
        case "x":
            return [k - 1, k, k + 1, 2 * k]
        case "xs":
            return [[k], [k - 1, k, k + 1], [k, 2, k, 3 * k], list(range(k, 0, -1)), list(range(k + 1))]
    return ["ab" * k, "x" * k, "y z" + "w" * k]
