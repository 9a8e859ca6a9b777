"""The observations of a run that count, and what every new one asks of them: answered without going through them, so
that an observation costs the same however many there were before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from crestfall.core.types import Decision
from crestfall.guard.journal import Observation


class Timeline:
    """Observations in the order of their steps."""

    def __init__(self, observations: Iterable[Observation] = ()) -> None:
        self._by_step: dict[int, Observation] = {}
        self.last: Observation | None = None
        self.best: Observation | None = None
        """The one with the best finite score; of equal ones the earliest."""
        self.rollbacks = 0
        for observation in observations:
            self.append(observation)
            self.settle(observation.decision)

    @classmethod
    def of(cls, journal: Iterable[Observation]) -> Timeline:
        """Those of a journal, without the tails that a restart from an earlier step has replaced."""
        kept: list[Observation] = []
        for observation in journal:
            while kept and kept[-1].record.step >= observation.record.step:
                kept.pop()
            kept.append(observation)
        return cls(kept)

    def before(self, step: int) -> Timeline:
        """Those of the steps before this one."""
        return Timeline(observation for observation in self if observation.record.step < step)

    def __iter__(self) -> Iterator[Observation]:
        return iter(self._by_step.values())

    def __len__(self) -> int:
        return len(self._by_step)

    def __contains__(self, observation: Observation) -> bool:
        found = self.at(observation.record.step)
        return found is not None and found.id == observation.id

    def at(self, step: int | None) -> Observation | None:
        """The observation of a step."""
        return None if step is None else self._by_step.get(step)

    def append(self, observation: Observation) -> None:
        """Add the observation of a later step, whose decision is still open."""
        self._by_step[observation.record.step] = self.last = observation
        if not observation.scores.not_finite and (
            self.best is None or observation.record.value > self.best.record.value
        ):
            self.best = observation

    def settle(self, decision: Decision) -> Observation:
        """Give the last observation its decision. Returns it."""
        assert self.last is not None
        self.last = self._by_step[self.last.record.step] = replace(self.last, decision=decision)
        self.rollbacks += decision.action == "rollback"
        return self.last
