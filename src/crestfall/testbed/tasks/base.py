"""Protocol of a task source, which supplies problems in disjoint sets by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from crestfall.core.types import Problem


@dataclass(frozen=True)
class CampaignSets:
    """The three disjoint sets of a campaign. No controller ever sees `report`."""

    train: Sequence[Problem]
    select: Sequence[Problem]
    report: Sequence[Problem]


@dataclass(frozen=True)
class Sizes:
    """Number of problems in each set of a campaign."""

    train: int = 50
    select: int = 30
    report: int = 30


class TaskSource(Protocol):
    """A frozen dataclass with these methods. Every set returned for one `seed` is disjoint by key from every other one,
    and from whatever the policy was warm-started on; `final` is the same for every seed and disjoint from all."""

    name: ClassVar[str]

    def campaign(self, seed: int, campaign: int, sizes: Sizes) -> CampaignSets: ...

    def final(self, size: int) -> Sequence[Problem]: ...

    def check(self, campaigns: int, sizes: Sizes, final: int) -> None:
        """Raise ConfigError, and say the way out, where there are not enough problems for that many campaigns and the
        final set: now, and not hours into a chain."""
        ...


@runtime_checkable
class Conventions(Protocol):
    """Extra protocol of a task source whose programs can answer in more ways than the grader accepts. For any other
    source competence is not measured, since it would equal pass@1."""

    def any_convention(self, problem: Problem, program: str) -> str | None:
        """The program rewritten so that the grader judges what it computes and not how it answers; None: there is
        nothing to rewrite in it."""
        ...
