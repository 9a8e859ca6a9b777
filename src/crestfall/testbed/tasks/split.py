"""Pools of a benchmark: which problems are the same problem, and which pool each may be drawn for.

Two problems are the same where their texts, their tests or their references are equal once case, white space and the
name of the function are taken away (for texts, punctuation too). Sameness is carried on: what is the same as a third is
one problem, of which one is kept. The pool is a function of that content alone, not of ids, order or seed: no problem,
and no variant of it in the same source, can be trained on under one seed and reported under another. Another edition of
a benchmark that words a problem anew may have it in another pool: name one edition for all arms of a study.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Literal

from pydantic import Field

from crestfall.core.errors import ConfigError
from crestfall.core.rng import digest
from crestfall.core.types import CodeTests, Problem, StdioTests

Pool = Literal["train", "select", "report", "final"]
Share = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True)
class Shares:
    """Share of a benchmark for each pool; each problem falls into one by a hash, so the sizes vary a
    little."""

    train: Share = 0.4
    """MBPP's 974 problems: about 390, seven fresh campaigns of 50."""
    select: Share = 0.15
    """MBPP: about 146, four fresh campaigns of 30; `chain.problems: same` needs one campaign's."""
    report: Share = 0.15
    """Share of the report pool."""
    final: Share = 0.3
    """MBPP: about 292, more than the 200 of `chain.final`."""

    def __post_init__(self) -> None:
        if abs(sum(share for _, share in self._in_order()) - 1) > 1e-9:
            raise ConfigError("pools: the shares have to add up to 1")

    def pool_of(self, key: str) -> Pool:
        """The pool that the problem with this key belongs to."""
        place, end = int.from_bytes(digest("benchmark pool", key)[:4], "little") / 2**32, 0.0
        for pool, share in self._in_order():
            end += share
            if place < end:
                return pool
        return "final"  # the shares' sum was a rounding error short of 1

    def _in_order(self) -> list[tuple[Pool, float]]:
        return [(field.name, getattr(self, field.name)) for field in fields(self)]  # type: ignore[misc]


@dataclass(frozen=True)
class Pools:
    """The distinct problems of a source by pool, with where they came from for messages."""

    problems: Mapping[Pool, Sequence[Problem]]
    where: str

    @classmethod
    def of(cls, problems: Iterable[Problem], shares: Shares, where: str) -> Pools:
        """`problems`: as `distinct` returns them."""
        pools: dict[Pool, list[Problem]] = {"train": [], "select": [], "report": [], "final": []}
        for problem in problems:
            pools[shares.pool_of(problem.key)].append(problem)
        return cls(pools, where)

    def draw(self, pool: Pool, start: int, stop: int, *path: str | int) -> Sequence[Problem]:
        """Problems `start` to `stop` of a pool, in the order that the path gives it.

        Raises:
            ConfigError: there are not that many.
        """
        known = self.problems[pool]
        if stop > len(known):
            sizes = ", ".join(f"{name} {len(some)}" for name, some in self.problems.items())
            size = "chain.final" if pool == "final" else f"campaign.{pool}"
            fewer = "" if start == 0 else "chain.problems=same, fewer chain.campaigns, "
            raise ConfigError(
                f"tasks: {stop} distinct problems of the {pool} pool are needed and there are {len(known)} "
                f"({self.where} has {sizes}): use {fewer}a smaller {size}, or a larger share tasks.pools.{pool}"
            )
        return sorted(known, key=lambda problem: digest("benchmark order", pool, *path, problem.key))[start:stop]


def distinct(
    problems: Iterable[Problem], without: Container[str] = (), kept: Callable[[Problem], Problem] = lambda one: one
) -> list[Problem]:
    """One problem of each set of equal ones, with the set's key. Which one, and which key, depends on no order.

    Args:
        without: ids that are not wanted; their whole sets are left out.
        kept: what is to be held of a problem once it is known which ones it equals.
    """
    marked = [(_marks(problem), kept(problem)) for problem in problems]
    groups = _Groups()
    for marks, _ in marked:
        groups.join(marks)
    sets: dict[str, list[tuple[list[str], str, Problem]]] = {}
    for marks, problem in marked:
        sets.setdefault(groups.root(marks[0]), []).append((marks, problem.task_id, problem))
    return [
        replace(min(equal)[2], key=min(mark for marks, _, _ in equal for mark in marks))
        for equal in sets.values()
        if not any(task_id in without for _, task_id, _ in equal)
    ]


def _marks(problem: Problem) -> list[str]:
    """Digests of all by which a problem may be known again: each part as it is, and with its function's name away."""
    tests = problem.tests
    name = None if isinstance(tests, StdioTests) else tests.entry_point
    code = tests.code if isinstance(tests, CodeTests) else repr((tests.cases, type(tests).__name__))
    own_key = "" if problem.key == problem.task_id else problem.key
    parts = {"text": problem.prompt, "tests": code, "reference": problem.reference or "", "key": own_key}
    marks = {
        digest(kind, form).hex()[:16]
        for kind, part in parts.items()
        for form in (_normal(part, kind), _normal(_nameless(part, name), kind))
        if form
    }
    return sorted(marks)


def _normal(part: str, kind: str) -> str:
    text = "".join(unicodedata.normalize("NFKC", part).casefold().split())
    return re.sub(r"[\W_]", "", text) if kind == "text" else text


def _nameless(part: str, name: str | None) -> str:
    return re.sub(rf"\b{re.escape(name)}\b", "f", part, flags=re.IGNORECASE) if name else part


class _Groups:
    """Union-find over marks: marks of one problem are one group."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def root(self, mark: str) -> str:
        while (parent := self._parent.setdefault(mark, mark)) != mark:
            self._parent[mark] = mark = self._parent[parent]
        return mark

    def join(self, marks: Sequence[str]) -> None:
        for mark in marks[1:]:
            self._parent[self.root(mark)] = self.root(marks[0])
