"""The learning rate of an update: the configured one times factors, each with one owner.

factor      owner                                          goes on after a rollback
warmup      the rule, by updates since Adam was fresh      from the snapshot
schedule    the rule, by the campaign's step counter       yes: the counter is not turned back
control     controllers: a campaign's plan x rollbacks     yes, in the campaigns that follow too
pace        the rule's pace                                from the snapshot
"""

from __future__ import annotations

from dataclasses import dataclass

from crestfall.testbed.updates.base import UpdateRule


@dataclass
class LearningRate:
    """The factors in force. Every step's record names them (signals `rate_*`, `pace`), so that a rate can be
    explained."""

    rule: UpdateRule
    schedule: float = 1.0
    control: float = 1.0
    pace: float = 1.0

    @property
    def shortened(self) -> float:
        """Intended multiplier of the length of steps, whatever their size: a pace keeps to it."""
        return self.control * self.schedule

    def factor(self, updates: int) -> float:
        """The product of all factors, for the update after so many since Adam's state was fresh."""
        return self.rule.rate_factor * self.control * self.schedule * self.pace * self._warmup(updates)

    def at(self, updates: int) -> float:
        """The learning rate of that update; for an optimizer that finds its own, what that is multiplied by."""
        return (1.0 if self.rule.optimizer == "prodigy" else self.rule.learning_rate) * self.factor(updates)

    def signals(self, updates: int) -> dict[str, float]:
        """Signals of the last of so many updates. The pace has a signal of its own."""
        last = updates - 1
        return {
            "learning_rate": self.at(last),
            "rate_warmup": self._warmup(last),
            "rate_schedule": self.schedule,
            "rate_control": self.control,
        }

    def _warmup(self, updates: int) -> float:
        return min(1.0, (updates + 1) / max(1, self.rule.warmup_updates))
