"""The part of a guard that remembers and decides; it lives on rank 0.

The journal is the truth: a controller is a pure function of its records, so its state is recomputed from them on a
restart. A run that was killed and goes on from an earlier step (its own last checkpoint) makes those steps' records
history: the controller is set back to where the run is. A snapshot is not set back: the best one stays, from whichever
attempt it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from crestfall.control.base import Controller, State
from crestfall.core.errors import ConfigError, CrestfallWarning, InputError
from crestfall.core.types import Decision
from crestfall.guard.journal import Journal, Observation
from crestfall.guard.outcome import Kept, Outcome
from crestfall.guard.scores import Scores
from crestfall.guard.snapshots import Snapshots, snapshot_name
from crestfall.guard.timeline import Timeline
from crestfall.store.files import writing
from crestfall.store.lock import Lock


class History:
    def __init__(
        self,
        directory: Path,
        controller: Controller,
        max_snapshots: int,
        max_rollbacks: int,
        in_memory: Callable[[], Collection[int]],
        rates_stay: bool = False,
        *,
        greater_is_better: bool = True,
    ) -> None:
        """Open a guard's directory, or begin one. `in_memory`: the snapshots that the guard holds beside the disk.

        Raises:
            RunDirectoryError: it cannot be written, or another process is at work in it.
            InputError: it holds something that no guard wrote.
            ConfigError: its scores are better the other way round.
        """
        self._directory, self._controller = directory, controller
        self._max_snapshots, self._max_rollbacks = max_snapshots, max_rollbacks
        self._in_memory, self._rates_stay, self._minimised = in_memory, rates_stay, not greater_is_better
        with writing(directory):
            directory.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(directory)
        self._lock.acquire()
        self._journal = Journal.open(directory / "observations.jsonl")
        self.snapshots = Snapshots(directory / "snapshots")
        self._adopt_orphans()
        self._by_id = {o.id: o for o in self._journal.observations}
        self._timeline = Timeline.of(self._journal.observations)
        self._refuse_other_direction()
        self._state = self._replayed()
        self._fresh = True
        self._unfit: frozenset[int] = frozenset()
        self._kept: frozenset[int] | None = None
        """Snapshots that were wanted at the last observation; None before the first."""

    @property
    def last_step(self) -> int | None:
        return None if self._timeline.last is None else self._timeline.last.record.step

    @property
    def last_score(self) -> float | None:
        return None if self._timeline.last is None else self._timeline.last.score

    def best(self) -> Kept | None:
        identity = self.best_of(self.available())
        if identity is None:
            return None
        path = self.snapshots.path(identity) if identity in self.snapshots else None
        return Kept(self._by_id[identity].record.step, self._by_id[identity].score, path)

    def best_score(self) -> tuple[int, float] | None:
        """(step, score) of the best evaluation that is still part of the run, whether a snapshot is kept or not."""
        best = self._timeline.best
        return None if best is None else (best.record.step, best.score)

    def best_step(self) -> int | None:
        best = self.best_score()
        return None if best is None else best[0]

    def observation(self, identity: int) -> Observation:
        return self._by_id[identity]

    def available(self) -> frozenset[int]:
        """Snapshots to go back to: not those that the disk has still to let go of."""
        on_disk = self.snapshots.ids
        there = on_disk | frozenset(self._in_memory())
        if self._kept is not None:
            spare = self.spare(self._kept - there, on_disk)
            there &= self._kept | spare
        return there - self._unfit

    def spare(self, missing: frozenset[int], on_disk: frozenset[int]) -> frozenset[int]:
        """The best on the disk stays as long as one that is wanted is missing there."""
        best = self.best_of(on_disk) if missing else None
        return frozenset() if best is None else frozenset([best])

    @property
    def rate(self) -> float:
        """Learning-rate multiplier of all decisions so far."""
        return 1.0 if self._timeline.last is None else self._timeline.last.rate_after

    def needed(self, target: int | None) -> frozenset[int]:
        """Steps whose checkpoints matter: those that a decision names or may name, and the best."""
        named = {step for step in (target, self.best_step()) if step is not None}
        return self._keep() | named

    def forget(self, identities: Collection[int]) -> None:
        """Drop snapshots that no longer fit the state or cannot be read, so that none becomes a target."""
        self._unfit |= frozenset(identities)

    def observe(self, scores: Scores, can_capture: bool) -> Outcome:
        """Decide on an evaluation, and write it into the journal.

        Raises:
            ConfigError: a step that does not come after the last one.
        """
        self._note_deleted()
        self._go_back_before(scores.record.step, scores)
        scores = self._finite(scores)
        record, hidden = scores.record, scores.not_finite == "weights"
        kept_before = self._keep()
        decision = Decision("continue")
        if not hidden:
            self._state, decision = self._controller.decide(self._state, record)
        keep = self._keep()

        identity = self._journal.next_id
        rate = self.rate
        self._by_id[identity] = Observation(identity, scores, decision, rate)
        self._timeline.append(self._by_id[identity])
        best = self.best_of(self.available())
        if hidden:
            decision = self._away_from_here(scores, best)
        decision = self._bounded(decision)
        take, target, wanted = False, None, frozenset[int]()
        mean: tuple[int, ...] = ()
        if can_capture:
            take = not hidden and (
                (not scores.not_finite and (record.step in keep or best is None or record.value > self._value(best)))
                or (decision.action == "stop" and decision.target_step == record.step)
            )
            there = self.available() | ({identity} if take else frozenset())
            decision, target = self._resolve(decision, kept_before | keep, there)
            decision, mean = self._averaged(decision)
            wanted = self._kept = self._wanted(keep, target, take) | (self.available() & frozenset(mean))
        decision = self._worded(decision)
        self._by_id[identity] = self._pending = self._timeline.settle(decision)
        place = snapshot_name(identity, record.step) if take else ""
        factor = self._factor(target, rate)
        return Outcome(decision, target, factor, identity if take else None, wanted, place, mean, identity)

    def write_journal(self) -> None:
        """Put the last observation on the disk. Raises RunDirectoryError; it is written with the next one then."""
        self._journal.append(self._pending)

    def sync_journal(self) -> None:
        self._journal.sync()

    def finish(self) -> Outcome:
        """The controller's last word, its budget used up."""
        if (now := self._timeline.last) is None:
            raise ConfigError("guard.finish: nothing has been observed yet")
        self._note_deleted()
        decision = self._controller.last(self._state, now.record.step)
        if now.scores.not_finite == "weights" and decision.target_step == now.record.step:
            decision = self._away_from_here(now.scores, self.best_of(self.available()), stop=True)
        decision, target = self._resolve(decision, self._keep(), self.available())
        decision, mean = self._averaged(decision)
        decision = self._worded(decision)
        factor = self._factor(target, self.rate)
        return Outcome(decision, target, factor, wanted=self.available(), mean_of=mean, current=now.id)

    def close(self) -> None:
        self._lock.release()

    # --- what is not finite -------------------------------------------------------------------------------------------

    def _finite(self, scores: Scores) -> Scores:
        """A score that is not finite is the worst score so far, and worse than that."""
        if not scores.not_finite:
            return scores
        seen = [o.record.value for o in self._timeline if not o.scores.not_finite]
        if not seen and scores.not_finite == "score":
            raise InputError(
                f"step {scores.record.step}: select is {scores.record.value} in the first evaluation; a score has "
                "to be a finite number"
            )
        worst = min([0.0, *seen]) if not seen or min(seen) >= 0 else min(seen) - (max(seen) - min(seen))
        record = replace(scores.record, value=worst, standard_error=None, counts_P=None, n=None)
        return replace(scores, record=record, raw=-worst if self._minimised else None)

    def _away_from_here(self, scores: Scores, best: int | None, *, stop: bool = False) -> Decision:
        """Decision for weights that are not finite: roll back to the best snapshot, or stop there."""
        step = scores.record.step
        target = self.best_step() if best is None else self._by_id[best].record.step
        reason = "the weights are not finite (NaN or infinity)"
        if target is None:
            return Decision("stop", step, f"{reason} and nothing better is kept")
        if best is None or stop or not getattr(self._controller, "rolls_back", False):
            return Decision("stop", target, reason)
        return Decision("rollback", target, reason, {}, getattr(self._controller, "slow_down", 1.0))

    def _worded(self, decision: Decision) -> Decision:
        """Controllers see scores to be minimised with their sign changed, and speak of these."""
        if not (self._minimised and decision.reason):
            return decision
        return replace(decision, reason=f"{decision.reason} (smaller is better: scores with their sign changed)")

    def _bounded(self, decision: Decision) -> Decision:
        done = self._timeline.rollbacks
        if decision.action != "rollback" or done < self._max_rollbacks:
            return decision
        reason = f"{decision.reason}; rolled back {done} times already (max_rollbacks)"
        return replace(decision, action="stop", reason=reason, learning_rate_scale=1.0, forget_optimizer=False)

    # --- restarts -----------------------------------------------------------------------------------------------------

    def _adopt_orphans(self) -> None:
        """A process that died between a snapshot and the journal has observed all the same."""
        for identity in sorted(self.snapshots.ids):
            if identity >= self._journal.next_id:
                try:
                    self._journal.append(self.snapshots.observation(identity))
                except InputError as error:
                    self.snapshots.forget(identity)
                    _say(f"{error}; it is set aside")

    def _note_deleted(self) -> None:
        for path in self.snapshots.deleted():
            _say(f"{path} has been deleted: it is no target any more, unless a copy of it is in memory")

    def _refuse_other_direction(self) -> None:
        seen = [o for o in self._timeline if not o.scores.not_finite]
        if seen and (seen[-1].scores.raw is not None) != self._minimised:
            before, now = ("smaller", "larger") if self._minimised is False else ("larger", "smaller")
            self._lock.release()
            raise ConfigError(
                f"{self._directory}: its scores up to step {self.last_step} are better when {before}, and now they are "
                f"to be better when {now} (greater_is_better). Give every run a directory of its own"
            )

    def _go_back_before(self, step: int, scores: Scores) -> None:
        first, self._fresh = self._fresh, False
        if self.last_step is None or step > self.last_step:
            return
        if not first and not (scores.not_finite == "weights" and step == self.last_step):
            raise ConfigError(
                f"step {step} does not come after step {self.last_step}: observe every step once, and let the counter "
                "go on after a rollback"
            )
        first_one = next(iter(self._timeline))
        again = len(self._timeline) == 1 and first_one.record.value == scores.record.value
        if step <= first_one.record.step and not again:
            warnings.warn(
                f"{self._directory}: holds observations up to step {self.last_step} and training begins again at step "
                f"{step}. The best snapshot so far is kept; a new run needs a directory of its own",
                CrestfallWarning,
                stacklevel=2,
            )
        self._timeline = self._timeline.before(step)
        self._state = self._replayed()

    def _replayed(self) -> State:
        state = self._controller.init()
        for observation in filter(lambda o: o.shown, self._timeline):
            state, _ = self._controller.decide(state, observation.record)
        return state

    # --- which snapshot -----------------------------------------------------------------------------------------------

    def _keep(self) -> frozenset[int]:
        """Steps that the controller may still name, which one of somebody's own may give as a list or as arrays."""
        return frozenset(map(int, self._controller.keep(self._state)))

    def _value(self, identity: int) -> float:
        return self._by_id[identity].record.value

    def best_of(self, identities: frozenset[int]) -> int | None:
        """The one with the best score, of equal ones the earliest; None of none."""
        finite = [i for i in identities if i in self._by_id and not self._by_id[i].scores.not_finite]
        return max(finite, key=lambda i: (self._value(i), -i), default=None)

    @property
    def _current(self) -> int:
        assert self._timeline.last is not None
        return self._timeline.last.id

    def _identity(self, step: int | None) -> int | None:
        found = self._timeline.at(step)
        return None if found is None else found.id

    def _resolve(
        self, decision: Decision, kept_steps: frozenset[int], there: frozenset[int]
    ) -> tuple[Decision, int | None]:
        """The decision and the snapshot that carries it out, of those that are `there`.

        The controller's target is replaced where its snapshot is not there (a disk that was full), and where the
        controller keeps the best that it has seen and a better one is left from before a restart. A stop at the present
        step puts its snapshot back too: the weights may have been trained or replaced since.
        """
        if decision.action == "continue" or decision.target_step is None:
            return decision, None
        current, chosen, why = self._current, self._identity(decision.target_step), ""
        best = self.best_of(there | {current})
        if chosen == current and self._by_id[current].scores.not_finite == "weights":
            chosen = best  # the same step, seen before its weights became NaN
        if chosen != current and best is not None:
            if chosen not in there:
                why = f"no snapshot of step {decision.target_step} is kept"
            elif (
                decision.target_step in kept_steps
                and self._by_id[best] not in self._timeline
                and self._value(best) > self._value(chosen)
            ):
                why = "a better one is kept from before a restart"
        if why and best is not None:
            chosen, step, value = best, self._by_id[best].record.step, self._value(best)
            reason = f"{decision.reason}; {why}: step {step} ({value:.3f}) takes its place"
            decision = replace(decision, target_step=step, reason=reason)
        as_it_is = chosen not in there or (chosen == current and decision.action != "stop")
        return decision, None if as_it_is else chosen

    def _averaged(self, decision: Decision) -> tuple[Decision, tuple[int, ...]]:
        """The decision and the snapshots that it averages, as far as they are there; the present weights are."""
        current = self._current
        named = {step: self._identity(step) for step in decision.average}
        found = {step: i for step, i in named.items() if i == current or i in self.available()}
        if missing := [str(step) for step in named if step not in found]:
            reason = f"{decision.reason}; left out of the mean, since no snapshot is kept: step {', '.join(missing)}"
            decision = replace(decision, average=tuple(found), reason=reason)
        return decision, tuple(i for i in found.values() if i is not None)

    def _factor(self, target: int | None, now: float) -> float:
        """The factor from the learning rate in force, once `target` is restored, to the intended one. `now`: the
        multiplier in force at present."""
        in_force = now if target is None or self._rates_stay else self._by_id[target].rate_before
        return self.rate / in_force

    def _wanted(self, keep: frozenset[int], target: int | None, take: bool) -> frozenset[int]:
        """Snapshots to keep: the target's, the best, then those that the controller needs, up to the bound."""
        current = self._current
        there = self.available() | ({current} if take else frozenset())
        best = self.best_of(there)
        asked = {target, best, *map(self._identity, keep)}
        ordered = sorted(there & asked, key=lambda i: (i != target, i != best, -self._value(i), i))
        return frozenset(ordered[: self._max_snapshots])


def _say(text: str) -> None:
    warnings.warn(f"crestfall guard: {text}", CrestfallWarning, stacklevel=5)
