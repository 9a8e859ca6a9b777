"""What a run would stumble over before its first step, found before anything is written. A dry run asks the same."""

from __future__ import annotations

from collections.abc import Iterable

from crestfall.core.build import plain
from crestfall.core.errors import ConfigError
from crestfall.core.types import Problem
from crestfall.store.files import digest
from crestfall.testbed.config import RunConfig
from crestfall.testbed.slices import origin, unseen


def check(configs: Iterable[RunConfig]) -> None:
    """Weights, models, libraries, problems, what the engine can do: of cells that share them once.

    Raises:
        ConfigError, InputError, MissingExtraError: a run of one of these would not get to its first step.
    """
    seen: set[str] = set()
    for config in configs:
        check_sources(config)
        shared = digest([plain(getattr(config, part)) for part in ("tasks", "policy", "update", "engine", "campaign")])
        shared += digest(plain(config.chain))
        if shared not in seen:
            seen.add(shared)
            _check_components(config)


def check_sources(config: RunConfig) -> None:
    """The files of its own that a new chain begins with: a controller's memory, other problems, another run's
    weights."""
    config.care.init()
    unseen(config)
    start = origin(config)
    if start is not None:
        start.facts()


def _check_components(config: RunConfig) -> None:
    config.check_problems()
    problems = list(config.tasks.final(config.chain.final))
    # What a component can say beside its protocol; one of somebody's own need not.
    for check_policy in filter(None, [getattr(config.policy, "check", None)]):
        check_policy(problems + _first_sets(config))
    for check_engine in filter(None, [getattr(config.engine, "check", None)]):
        check_engine(config)


def _first_sets(config: RunConfig) -> list[Problem]:
    sets = config.sets(0)
    drawn = {"train": sets.train, "select": sets.select, "report": sets.report}
    for name, problems in drawn.items():
        if len(problems) != getattr(config.campaign, name):
            raise ConfigError(f"campaign.{name}: {config.tasks.name} has only {len(problems)} such problems")
    return [problem for problems in drawn.values() for problem in problems]
