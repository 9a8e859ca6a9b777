"""Problems that a random model passes about half the time, so that its weights move: a plugin of the runs here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from crestfall.core.registry import register
from crestfall.core.types import CallCase, CallTests, Problem
from crestfall.testbed.tasks.base import CampaignSets


@register("tasks", "comments")
@dataclass(frozen=True)
class Comments:
    """The policy writes a comment behind `return 1`. A new line ends it, and what follows is mostly no Python."""

    name: ClassVar[str]

    def campaign(self, seed: int, campaign: int, sizes: Any) -> CampaignSets:
        return CampaignSets(
            *(problems(f"{kind}-{seed}-{campaign}", getattr(sizes, kind)) for kind in ("train", "select", "report"))
        )

    def final(self, size: int) -> Sequence[Problem]:
        return problems("final", size)

    def check(self, campaigns: int, sizes: Any, final: int) -> None:
        """There are always enough."""


def problems(name: str, size: int) -> list[Problem]:
    tests = CallTests("f", (CallCase((1,), 1),))
    stub = "def f(x):\n    return 1  # "
    return [Problem(f"{name}/{i}", "square it " * (i % 3 + 1), tests, f"{name}/{i}", stub) for i in range(size)]
