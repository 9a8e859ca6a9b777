"""Checks for causes of failure before the first step, made before anything is written. A dry run makes them too."""

from __future__ import annotations

from collections.abc import Iterable

from crestfall.core.build import plain
from crestfall.store.files import digest
from crestfall.testbed.config import RunConfig
from crestfall.testbed.slices import check_unseen, origin

_CHECKED = ("tasks", "policy", "update", "engine", "campaign", "chain", "grader")


def check(configs: Iterable[RunConfig]) -> None:
    """Weights, models, libraries, problems, what the engine can do: of cells that share them once.

    Raises:
        ConfigError, InputError, MissingExtraError: a run of one of these would not get to its first step.
    """
    seen: set[str] = set()
    for config in configs:
        check_sources(config)
        shared = digest([plain(getattr(config, part)) for part in _CHECKED])
        if shared not in seen:
            seen.add(shared)
            _check_components(config)


def check_sources(config: RunConfig) -> None:
    """The files of its own that a new chain begins with: a controller's memory, other problems, another run's
    weights."""
    config.care.init()
    check_unseen(config)
    start = origin(config)
    if start is not None:
        start.facts()


def _check_components(config: RunConfig) -> None:
    config.grader.check_packages()
    config.check_problems()
    # What a component can say beside its protocol; one of somebody's own need not.
    for part in (config.policy, config.engine):
        if hasattr(part, "check"):
            part.check(config)
