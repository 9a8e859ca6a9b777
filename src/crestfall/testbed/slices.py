"""Optional evaluations of a chain besides its steps and the final set.

The out-of-distribution slice (`chain.ood`), the report sets of old campaigns (`chain.revisit`), and the base policy on
each campaign's own sets, which tells their hard third (`chain.hard_cases`): no controller sees any of these. And what a
campaign ends with, on its own sets, where that is an average of weights (`campaign.hand_on`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crestfall.control.capability import hard_third
from crestfall.core.errors import ConfigError
from crestfall.core.types import Evaluation, Problem, Snapshot
from crestfall.store.origin import Origin
from crestfall.testbed.campaign import Event
from crestfall.testbed.config import RunConfig
from crestfall.testbed.engines.base import Engine
from crestfall.testbed.tasks.base import CampaignSets


def origin(config: RunConfig) -> Origin | None:
    """The other run whose weights the chain starts from; `{seed}` in its path is this run's."""
    text = config.chain.start_from
    return None if text is None else Origin.parse(text.replace("{seed}", str(config.seed)))


def unseen(config: RunConfig) -> Sequence[Problem]:
    """The out-of-distribution slice. Raises ConfigError where the task source has none."""
    check_unseen(config)
    if config.chain.ood is None:
        return ()
    problems: Sequence[Problem] = config.tasks.unseen(config.seed, config.chain.ood)  # type: ignore[attr-defined]
    return problems


def check_unseen(config: RunConfig) -> None:
    """Raises ConfigError where an out-of-distribution slice is asked for and the task source has none."""
    if config.chain.ood is not None and not hasattr(config.tasks, "unseen"):
        raise ConfigError(f"chain.ood: tasks {config.tasks.name} has no out-of-distribution problems; leave it out")


class Slices:
    """Evaluations of the weights that the engine holds now, as events."""

    def __init__(self, config: RunConfig, engine: Engine) -> None:
        self._config, self._engine, self._ood = config, engine, unseen(config)

    def ood(self, campaign: int, when: str, step: int) -> list[Event]:
        """Evaluation on the out-of-distribution slice; empty if the configuration has none."""
        if not self._ood:
            return []
        evaluation = self._evaluate(self._ood, campaign, when, "ood")
        return [{"type": "ood", "campaign": campaign, "when": when, "step": step, "evaluation": evaluation}]

    def revisits(self, campaign: int, step: int) -> list[Event]:
        """Evaluations on the report sets of the first campaigns, as far as they came before this one."""
        events: list[Event] = []
        for old in range(min(campaign, self._config.chain.revisit or 0)):
            problems = self._config.sets(old).report
            evaluation = self._evaluate(problems, campaign, old, "revisit")
            events.append({"type": "revisit", "campaign": campaign, "of": old, "step": step, "evaluation": evaluation})
        return events

    def held_out(self, campaign: int) -> dict[str, dict[str, Any]]:
        """On the campaign's own select and report: of weights that no step has evaluated (an average)."""
        sets = self._config.sets(campaign)
        return {
            "select": self._evaluate(sets.select, campaign, "handed_on", "select"),
            "report": self._evaluate(sets.report, campaign, "handed_on", "report"),
        }

    def hard_cases(self, campaign: int, sets: CampaignSets, base: Snapshot) -> dict[str, list[int]]:
        """Places of the problems of select and report on which the base policy does worst."""
        samples, shared = self._config.chain.hard_cases, self._config.drawn_for(campaign)
        assert samples is not None
        now = self._engine.snapshot()
        self._engine.load_weights(base)
        select = hard_third(self._counts(sets.select, samples, shared, "base", "select"))
        report = hard_third(self._counts(sets.report, samples, shared, "base", "report"))
        self._engine.restore(now)
        return {"select": select, "report": report}

    def _evaluate(self, problems: Sequence[Problem], *key: str | int) -> dict[str, Any]:
        return self._counts(problems, self._config.campaign.eval_samples, *key).to_json()

    def _counts(self, problems: Sequence[Problem], n: int, *key: str | int) -> Evaluation:
        return self._engine.evaluate(problems, n, ("evaluate", self._config.seed, *key)).evaluation
