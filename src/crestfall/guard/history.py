"""The part of a guard that remembers and decides; it lives on rank 0.

The journal is the truth: a controller is a pure function of its records, so its state is recomputed from them on a
restart. A run that was killed and goes on from an earlier step (its own last checkpoint) makes those steps' records
history: the controller is set back to where the run is. A snapshot is not set back: the best one stays, from whichever
attempt it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crestfall.control.base import Controller, State
from crestfall.core.errors import ConfigError, CrestfallWarning
from crestfall.core.types import Decision, Record
from crestfall.guard.journal import Journal, Observation
from crestfall.guard.snapshots import STATE, Snapshots
from crestfall.store import statetree
from crestfall.store.files import writing
from crestfall.store.lock import Lock


@dataclass(frozen=True)
class Kept:
    """A step whose snapshot is kept. `path`: its directory; None: it is in memory only."""

    step: int
    value: float
    path: Path | None


@dataclass(frozen=True)
class Scores:
    """What is observed at a step: the record that the controller sees, and beside it what it does not."""

    record: Record
    report: float | None = None
    samples: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What rank 0 tells the others. Snapshots go by the `id` of their observation, which unlike a step is never seen
    twice.

    `target`: the snapshot to put back, None where the weights are right as they are. `rate_factor`: what to multiply
    the learning rate with that is in force then. `snapshot`: the one to take now. `wanted`: those to keep from now on.
    """

    decision: Decision
    target: int | None = None
    rate_factor: float = 1.0
    snapshot: int | None = None
    wanted: frozenset[int] = frozenset()

    def to_json(self) -> dict[str, Any]:
        return {
            "decision": self.decision.to_json(),
            "target": self.target,
            "rate_factor": self.rate_factor,
            "snapshot": self.snapshot,
            "wanted": sorted(self.wanted),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        wanted = frozenset(data["wanted"])
        return cls(Decision(**data["decision"]), data["target"], data["rate_factor"], data["snapshot"], wanted)


class History:
    def __init__(
        self,
        directory: Path,
        controller: Controller,
        max_snapshots: int,
        memory: MutableMapping[int, statetree.Packed],
    ) -> None:
        """Open a guard's directory, or begin one. `memory` is where the guard holds snapshots beside the disk.

        Raises:
            RunDirectoryError: it cannot be written, or another process is at work in it.
            InputError: it holds something that no guard wrote.
        """
        self._directory, self._controller, self._max_snapshots = directory, controller, max_snapshots
        self._memory = memory
        with writing(directory):
            directory.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(directory)
        self._lock.acquire()
        self._journal = Journal.open(directory / "observations.jsonl")
        self._snapshots = Snapshots(directory / "snapshots")
        self._adopt_orphans()
        self._values = {o.id: o.record for o in self._journal.observations}
        self._rates = {o.id: o.rate_before for o in self._journal.observations}
        self._active = self._journal.active()
        self._state = self._replayed()
        self._fresh = True
        self._pending: tuple[Observation, frozenset[int]] | None = None

    @property
    def last_step(self) -> int | None:
        return self._active[-1].record.step if self._active else None

    def best(self) -> Kept | None:
        identity = self._best(self._available())
        if identity is None:
            return None
        path = self._snapshots.path(identity) if identity in self._snapshots else None
        return Kept(self._values[identity].step, self._values[identity].value, path)

    def load(self, identity: int) -> statetree.Packed:
        return self._snapshots.load(identity)

    def raw(self, identity: int) -> bytes:
        return (self._snapshots.path(identity) / STATE).read_bytes()

    def observe(self, scores: Scores, can_capture: bool) -> Outcome:
        """Decide on a record. Nothing is on the disk before `commit`."""
        record = scores.record
        self._go_back_before(record.step)
        kept_before = self._controller.keep(self._state)
        self._state, decision = self._controller.decide(self._state, record)
        keep = self._controller.keep(self._state)

        identity = self._journal.next_id
        rate = self._active[-1].rate_after if self._active else 1.0
        observation = Observation(identity, record, decision, scores.report, scores.samples, rate)
        self._values[identity], self._rates[identity] = record, rate
        self._active.append(observation)
        if not can_capture:
            self._pending = observation, frozenset()
            return Outcome(decision)

        best = self._best(self._available())
        take = (
            record.step in keep
            or best is None
            or record.value > self._values[best].value
            or (decision.action == "stop" and decision.target_step == record.step)
        )
        decision, target = self._resolve(decision, kept_before | keep)
        self._pending = replace(observation, decision=decision), self._wanted(keep, target, take)
        return Outcome(decision, target, self._factor(target), identity if take else None, self._pending[1])

    def commit(self, packed: statetree.Packed | None) -> None:
        """Put the last observation, and its snapshot if one was taken, on the disk; delete what is not wanted any more.

        Raises:
            RunDirectoryError: it could not be written. Nothing is deleted then, and it is tried again the next time.
        """
        assert self._pending is not None
        observation, wanted = self._pending
        try:
            if packed is not None:
                self._snapshots.save(observation, packed)
            for identity in sorted(wanted & self._memory.keys() - self._snapshots.ids):
                self._snapshots.save(self._observation(identity), self._memory[identity])
        finally:
            self._journal.append(observation)
        self._snapshots.prune(wanted)

    def finish(self) -> Outcome:
        """The controller's last word, its budget used up."""
        if not self._active:
            raise ConfigError("guard.finish: nothing has been observed yet")
        decision = self._controller.last(self._state, self._active[-1].record.step)
        decision, target = self._resolve(decision, self._controller.keep(self._state))
        return Outcome(decision, target, self._factor(target), wanted=self._available())

    def close(self) -> None:
        self._lock.release()

    # --- restarts -----------------------------------------------------------------------------------------------------

    def _adopt_orphans(self) -> None:
        """A process that died between a snapshot and the journal has observed all the same."""
        for identity in sorted(self._snapshots.ids):
            if identity >= self._journal.next_id:
                self._journal.append(self._snapshots.observation(identity))

    def _go_back_before(self, step: int) -> None:
        first, self._fresh = self._fresh, False
        if self.last_step is None or step > self.last_step:
            return
        if not first:
            raise ConfigError(
                f"step {step} does not come after step {self.last_step}: observe every step once, and let the counter "
                "go on after a rollback"
            )
        if step <= self._active[0].record.step and len(self._active) > 1:
            warnings.warn(
                f"{self._directory}: holds observations up to step {self.last_step} and training begins again at step "
                f"{step}. The best snapshot so far is kept; a new run needs a directory of its own",
                CrestfallWarning,
                stacklevel=2,
            )
        self._active = [o for o in self._active if o.record.step < step]
        self._state = self._replayed()

    def _replayed(self) -> State:
        state = self._controller.init()
        for observation in self._active:
            state, _ = self._controller.decide(state, observation.record)
        return state

    # --- which snapshot -----------------------------------------------------------------------------------------------

    def _available(self) -> frozenset[int]:
        return self._snapshots.ids | frozenset(self._memory)

    def _best(self, identities: frozenset[int]) -> int | None:
        """Of equal values the earliest."""
        return max(identities, key=lambda i: (self._values[i].value, -i), default=None)

    def _identity(self, step: int | None) -> int | None:
        return next((o.id for o in reversed(self._active) if o.record.step == step), None)

    def _resolve(self, decision: Decision, kept_steps: frozenset[int]) -> tuple[Decision, int | None]:
        """The decision and the snapshot that carries it out.

        The controller's target is replaced where its snapshot is not there (a disk that was full), and where the
        controller hands on the best that it has seen and a better one is left from before a restart.
        """
        if decision.action == "continue" or decision.target_step is None:
            return decision, None
        current = self._active[-1]
        named, best = self._identity(decision.target_step), self._best(self._available() | {current.id})
        assert best is not None
        chosen, why = named, ""
        if named is None or (named != current.id and named not in self._available()):
            chosen, why = best, f"no snapshot of step {decision.target_step} is kept"
        elif (
            decision.target_step in kept_steps
            and best not in {o.id for o in self._active}
            and self._values[best].value > self._values[named].value
        ):
            chosen, why = best, "a better one is kept from before a restart"
        assert chosen is not None
        if why:
            step, value = self._values[chosen].step, self._values[chosen].value
            reason = f"{decision.reason}; {why}: step {step} ({value:.3f}) takes its place"
            decision = replace(decision, target_step=step, reason=reason)
        return decision, None if chosen == current.id else chosen

    def _factor(self, target: int | None) -> float:
        """From the learning rate in force, once `target` is put back, to the one that is to be."""
        current = self._active[-1]
        return current.rate_after / (current.rate_before if target is None else self._rates[target])

    def _wanted(self, keep: frozenset[int], target: int | None, take: bool) -> frozenset[int]:
        """Which to keep: the target's, the best, then what the controller asks for, as far as the bound allows."""
        current = self._active[-1].id
        there = self._available() | ({current} if take else frozenset())
        best = self._best(there)
        asked = {o.id for o in self._active if o.record.step in keep} | {target, best}
        ordered = sorted(there & asked, key=lambda i: (i != target, i != best, -self._values[i].value, i))
        return frozenset(ordered[: self._max_snapshots])

    def _observation(self, identity: int) -> Observation:
        return next(o for o in self._journal.observations if o.id == identity)
