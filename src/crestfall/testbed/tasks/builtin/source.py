"""Builtin problems as a task source: pools that are disjoint by key, tests that tell mistakes apart."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from crestfall.core.errors import ConfigError
from crestfall.core.registry import register
from crestfall.core.rng import Key, digest, stream
from crestfall.core.syntax import parse_foreign
from crestfall.core.types import CallCase, CallTests, Problem
from crestfall.testbed.tasks.base import CampaignSets, Sizes
from crestfall.testbed.tasks.builtin.composition import STUB, Composition, draw, has_unseen_pair
from crestfall.testbed.tasks.builtin.probes import answers, key_of, probes

Pool = Literal["warm", "train", "select", "report", "final"]

# A problem belongs to the pool that its key falls into, whatever seed, campaign or phrasing it is met under.
_POOLS: tuple[tuple[Pool, float], ...] = (
    ("warm", 0.30),
    ("train", 0.60),
    ("select", 0.70),
    ("report", 0.80),
    ("final", 1.00),
)

# Ways to answer that people's code has and the grader does not accept: they return nothing. The templates take the last
# expression.
CONVENTIONS: tuple[str, ...] = ("return {}", "print({})", "x = {}")


CAPACITY = {
    1: {"train": 77, "select": 24, "report": 21, "final": 56},
    2: {"train": 4_357, "select": 1_469, "report": 1_415, "final": 2_891},
    3: dict.fromkeys(("train", "select", "report", "final"), 50_000),
}
"""Number of problems of each level. Level 3 has many times more, but drawing even these takes minutes."""

_EXHAUSTED = 3000  # draws in a row without a new problem


def pool_of(key: str) -> Pool:
    """The one pool that problems with this key may be drawn for."""
    place = int.from_bytes(digest("builtin pool", key)[:4], "little") / 2**32
    return next(pool for pool, end in _POOLS if place < end)


def drawn(pool: Pool, depths: Sequence[int], *path: Key, unseen: bool = False) -> Iterator[tuple[Composition, str]]:
    """Compositions of `pool` with their keys, never one twice, for as long as there are any; their order is a function
    of the path. Raises ConfigError when the pool is used up.

    `unseen`: only compositions with a pair of operations that no other pool contains (an out-of-distribution slice).
    """
    rng = stream("builtin", pool, *path)
    seen: set[str] = set()
    misses = 0
    while misses < _EXHAUSTED:
        misses += 1
        composition = draw(rng, depths[int(rng.integers(len(depths)))])
        if has_unseen_pair(composition) is not unseen:
            continue
        key = key_of(composition)
        if key is None or key in seen or pool_of(key) != pool:
            continue
        seen.add(key)
        misses = 0
        yield composition, key
    raise ConfigError(
        f"tasks.levels: levels {sorted(set(depths))} hold only {len(seen)} problems of the {pool} pool: "
        "use fewer, or deeper ones"
    )


_TEST_PROBES = 60  # tests are chosen among these; mistakes that answer alike on all of them are taken as equal


def _cases(composition: Composition, n_edges: int = 3, least: int = 6, most: int = 10) -> tuple[CallCase, ...]:
    """The edge inputs first (empty, zero or one element), then whichever probe unmasks most of the mistakes alive."""
    right = [repr(v) for v in answers(composition, _TEST_PROBES)]
    differs = [
        np.array([repr(v) != r for v, r in zip(answers(m, _TEST_PROBES), right, strict=True)])
        for m in composition.mistakes()
    ]
    alive_MI = np.array([d for d in differs if d.any()]).reshape(-1, _TEST_PROBES)
    chosen = list(range(n_edges))
    while len(chosen) < most:
        alive_MI = alive_MI[~alive_MI[:, chosen].any(axis=1)]
        if not len(alive_MI):
            break
        chosen.append(int(alive_MI.sum(axis=0).argmax()))
    spare = (i for i in reversed(range(_TEST_PROBES)) if i not in chosen)
    chosen += islice(spare, max(0, least - len(chosen)))
    inputs = [probes(composition.takes)[i] for i in chosen]
    return tuple(CallCase((x,), y) for x, y in zip(inputs, composition.over(inputs), strict=True))


def problem_of(composition: Composition, key: str, *path: Key) -> Problem:
    """The problem that a composition poses, phrased as the path says."""
    return Problem(
        task_id=f"builtin/{key}",
        prompt=composition.spec(stream("builtin phrase", key, *path)),
        tests=CallTests("f", _cases(composition)),
        key=key,
        stub=STUB,
        reference=composition.source(),
        level=len(composition.stages),
        meta={"mistakes": tuple(m.source() for m in composition.mistakes())},
    )


@register("tasks", "builtin")
@dataclass(frozen=True)
class Builtin:
    """Generated problems: compositions of one to three list, text and number operations, described in plain words."""

    name: ClassVar[str]

    levels: tuple[int, ...] = (2, 3)
    """Number of operations that a problem composes, drawn uniformly from this list. Level 1 has only about 300
    problems."""

    train_cases: Annotated[int, Field(ge=1)] | None = None
    """Number of tests kept for each training problem, edge inputs (empty, zero, one element) first. With 1 the reward
    has a hole: `return x` passes most problems. None: all tests. Evaluations always use all tests."""

    def __post_init__(self) -> None:
        if not self.levels or any(level not in (1, 2, 3) for level in self.levels):
            raise ConfigError(f"tasks.levels: expected some of 1, 2, 3, got {list(self.levels)}")

    def campaign(self, seed: int, campaign: int, sizes: Sizes) -> CampaignSets:
        """The sets of one campaign: disjoint by key from each other, from those of the seed's other campaigns, from the
        final set and from the warm start."""
        return CampaignSets(
            train=tuple(self._weakened(p) for p in self._slice("train", seed, campaign, sizes.train)),
            select=self._slice("select", seed, campaign, sizes.select),
            report=self._slice("report", seed, campaign, sizes.report),
        )

    def final(self, size: int) -> Sequence[Problem]:
        return self._problems("final", 0, size, "final")

    def check(self, campaigns: int, sizes: Sizes, final: int) -> None:
        for pool, size in (("train", sizes.train), ("select", sizes.select), ("report", sizes.report)):
            self._check_pool(pool, campaigns * size)
        self._check_pool("final", final)

    def _check_pool(self, pool: str, wanted: int) -> None:
        has = sum(CAPACITY[level][pool] for level in set(self.levels))
        if wanted > has:
            raise ConfigError(
                f"tasks.levels: levels {sorted(set(self.levels))} hold only {has:,} problems of the {pool} pool, "
                f"{wanted:,} are asked for: use fewer, or deeper levels"
            )

    def unseen(self, seed: int, size: int) -> Sequence[Problem]:
        """An out-of-distribution set: problems with a pair of operations that neither warm start nor training has."""
        found = drawn("report", [level for level in self.levels if level > 1] or [2], seed, "unseen", unseen=True)
        return tuple(problem_of(c, key, seed) for c, key in islice(found, size))

    def any_convention(self, problem: Problem, program: str) -> str | None:
        """The program with its last value returned, where it prints, assigns or just states it; else None."""
        return returning(program)

    def _slice(self, pool: Pool, seed: int, campaign: int, size: int) -> tuple[Problem, ...]:
        # One endless sequence a seed, cut into campaigns: that is what keeps campaigns disjoint.
        return self._problems(pool, campaign * size, (campaign + 1) * size, seed)

    def _weakened(self, problem: Problem) -> Problem:
        if self.train_cases is None:
            return problem
        assert isinstance(problem.tests, CallTests)
        return replace(problem, tests=replace(problem.tests, cases=problem.tests.cases[: self.train_cases]))

    def _problems(self, pool: Pool, start: int, stop: int, *path: Key) -> tuple[Problem, ...]:
        known, more = _sequence(pool, self.levels, path)
        known.extend(islice(more, max(0, stop - len(known))))
        return tuple(problem_of(composition, key, *path) for composition, key in known[start:stop])


@lru_cache(maxsize=8)
def _sequence(
    pool: Pool, levels: tuple[int, ...], path: tuple[Key, ...]
) -> tuple[list[tuple[Composition, str]], Iterator[tuple[Composition, str]]]:
    """Part of a sequence that is drawn already, and an iterator over the rest: campaigns draw it in pieces."""
    return [], drawn(pool, levels, *path)


@lru_cache(maxsize=10_000)
def returning(program: str) -> str | None:
    """`program` with the value that its last line prints, assigns or states returned instead; None where there is none.

    Works on the text of the last line, never runs anything; a program that does not parse has no answer to return.
    """
    try:
        function = parse_foreign(program).body[-1]
    except (SyntaxError, ValueError, RecursionError, MemoryError, IndexError):
        return None
    if not isinstance(function, ast.FunctionDef):
        return None
    last = function.body[-1]
    match last:
        case ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=[value], keywords=[])):
            pass
        case ast.Assign(value=value) | ast.Expr(value=value):
            pass
        case _:
            return None
    function.body[-1] = ast.Return(value)
    return ast.unparse(function)
