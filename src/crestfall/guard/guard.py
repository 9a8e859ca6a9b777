"""A guard for a training loop of your own: has the run peaked, and if so, back to the peak.

    guard = Guard("runs/guard", control="early_stop", state={"model": model, "optimizer": optimizer})
    ...
        decision = guard.observe(step, select=pass_at_1, n=480)
        if guard.carry_out(decision):
            break

The controllers are the testbed's own. The guard keeps the snapshots that a later decision may need, and always the best
one, in memory and on disk, and goes on from there after a restart. It is not a checkpointer of the last step: keep your
own for that, and call `flush` before you save it.

What is on disk when, at any instant that a process may die: the journal knows of an observation before its snapshot is
complete; a snapshot appears whole (temporary directory, fsync, rename), in the order in which they were taken; and an
old one is deleted after the new one is on the disk.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from crestfall.control.base import Controller, check_without_duels
from crestfall.core.errors import ConfigError, CrestfallWarning
from crestfall.core.types import Decision, Evaluation
from crestfall.guard.average import WeightAverage
from crestfall.guard.disk import Disk
from crestfall.guard.exact import trainable_tensors
from crestfall.guard.history import History
from crestfall.guard.keeper import Keeper
from crestfall.guard.options import as_controller, check_keep, tolerate
from crestfall.guard.outcome import Kept, Outcome
from crestfall.guard.protect import Protected
from crestfall.guard.ranks import Ranks, decided_by_first, detect, everywhere, shared
from crestfall.guard.scores import Reader
from crestfall.guard.state import Schedule, State, Tree, state_of

_AT_WORK: weakref.WeakValueDictionary[Path, Guard] = weakref.WeakValueDictionary()
"""The guards of this process by their directories: the lock on a directory keeps out other processes alone."""

Notify = Callable[[Decision, int], object]
"""Called with every decision that is more than `continue`, and the step at which it was made. Must not block."""


class Guard:
    """Watches one run. In a distributed run make one on every rank, after `init_process_group`; rank 0 decides for all.

    Args:
        directory: where observations and snapshots are kept. One run each; the same directory again goes on from there.
        control: a controller: its name, `{"name": ..., option: ...}`, or an object of one's own with its methods.
        state: what to take snapshots of: named objects with `state_dict` / `load_state_dict`, tensors, arrays,
            generators. Sharded weights (FSDP2, DTensor) as they are.
        capture, restore: instead of `state`, functions that return and take back a state tree of your own making.
            Without either the guard only decides.
        scale_learning_rate: beside `capture` and `restore`, a function that multiplies the learning rate (the one that
            `restore` brings back), for controllers that change it. With `state` the guard does it: `param_groups` of
            optimizers, base rates and floors of schedulers.
        greater_is_better: False for a score to be minimised (a loss).
        schedule: what a rollback does to the schedulers in `state`: `back`, they go back with the weights; `on`, they
            and the learning rate stay where they are.
        max_rollbacks: after this many, a rollback becomes a stop at the same target.
        on_rollback: called after every rollback or averaging, on every rank: empty your replay buffer, sync your
            sampler's weights.
        hand_on: an average of weights that takes the place of the weights when training ends.
        keep, checkpoints: `keep="best"` only decides, and protects the trainer's own checkpoints of the steps that
            matter; `checkpoints` is where they are, "out/checkpoint-{step}".
        in_memory: keep a copy of the snapshots in host memory too: going back is fast, and works with a full disk.
        max_snapshots: bound on the snapshots kept; on disk there are never more than this many and one being written.
        sharded: whether the state is sharded over the ranks; None finds out.
        notify: called with every alert, stop and rollback, on rank 0.
        ranks: the processes of the run; by default torch's default process group, if there is one.

    Raises:
        ConfigError: options that do not go together; state that does not come back when it is restored, which is tried
            here; a directory whose snapshots do not fit this state.
        RunDirectoryError: the directory cannot be written, or another process is at work in it.
        InputError: the directory holds something that no guard wrote, or the state something that cannot be stored.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        control: str | Mapping[str, Any] | Controller = "early_stop",
        state: Mapping[str, Any] | None = None,
        capture: Callable[[], Tree] | None = None,
        restore: Callable[[Tree], None] | None = None,
        scale_learning_rate: Callable[[float], None] | None = None,
        greater_is_better: bool = True,
        schedule: Schedule = "back",
        max_rollbacks: int = 10,
        on_rollback: Sequence[Callable[[], object]] = (),
        hand_on: WeightAverage | None = None,
        keep: Literal["snapshots", "best"] = "snapshots",
        checkpoints: str | Path | None = None,
        in_memory: bool = True,
        max_snapshots: int = 3,
        sharded: bool | None = None,
        notify: Sequence[Notify] = (),
        ranks: Ranks | None = None,
    ) -> None:
        for name, value, least in (("max_snapshots", max_snapshots, 1), ("max_rollbacks", max_rollbacks, 0)):
            if value < least:
                raise ConfigError(f"{name}: expected at least {least}, found {value}")
        check_keep(keep, checkpoints, state if state is not None else capture)
        if hand_on is not None:
            if state is None:
                raise ConfigError("hand_on needs `state`; with `capture` and `restore` capture the average yourself")
            if isinstance(state, Mapping) and not any(item is hand_on for item in state.values()):
                state = {**state, "weight average": hand_on}
        self.directory = Path(directory).resolve()  # whatever the working directory and links are later
        self._ranks = ranks or detect()
        self._controller = as_controller(control)
        check_without_duels(self._controller)
        parts = state, capture, restore, scale_learning_rate, schedule
        self._state = everywhere(self._ranks, lambda: state_of(*parts))
        self._keeper = None
        if self._state is not None:
            self._keeper = Keeper(self._state, self._ranks, in_memory, sharded)
        self._reader = Reader(greater_is_better=greater_is_better)
        self._notify, self._on_rollback, self._hand_on = tuple(notify), tuple(on_rollback), hand_on
        where = None if checkpoints is None else str(Path(checkpoints).absolute())
        self._protected = None if where is None else Protected(self.directory / "kept", where)
        self._outcome, self._owed, self._closed = Outcome(Decision("continue")), False, False
        self._said: set[str] = set()
        self._lowered: list[tuple[float, float]] = []
        """(before, after) of each learning rate that the last decision lowered; cleared at the next observation."""
        self._history: History | None = None  # rank 0 alone has one
        self._disk = Disk(self._keeper, self._ranks, self.directory)

        def open_history() -> dict[str, Any]:
            if (other := _AT_WORK.get(self.directory)) is not None:
                other.close()
            bounds, stay = (max_snapshots, max_rollbacks), self._state is not None and self._state.rates_stay
            self._history = History(
                self.directory, self._controller, *bounds, self._disk.held, stay, greater_is_better=greater_is_better
            )
            try:
                self._disk.open(self._history)
            except BaseException:
                self._history.close()
                raise
            _AT_WORK[self.directory] = self
            return {"last_step": self._history.last_step, "rate": self._history.rate}

        known = decided_by_first(self._ranks, open_history)
        self._last_step: int | None = known["last_step"]
        self._rate: float = known["rate"]

    # --- the three lines ---------------------------------------------------------------------------------------------

    def observe(
        self,
        step: int,
        *,
        select: float | Sequence[float] | Evaluation,
        n: int | None = None,
        standard_error: float | None = None,
        report: float | None = None,
        **signals: float | None,
    ) -> Decision:
        """Take in the evaluation of the weights as they are now, after `step` updates, and decide.

        In a distributed run every rank calls this; what the others pass is not looked at. Numbers may be Python's,
        numpy's or torch's. A score that is not finite counts as the worst; weights that are not finite bring a rollback
        if the controller makes any, else a stop at the best step.

        Args:
            step: updates taken so far. Grows from call to call, after a rollback too.
            select: the score: a mean, or for each problem how many of its samples passed (or which share of them).
            n: samples in that mean all told; with counts, samples of each problem. Gives the evaluation's noise.
            standard_error: of a mean, where you know it better.
            report: the score on problems that are kept from every decision. Stored for `crestfall replay` alone.
            signals: what else was measured, by the names of `crestfall.core.signals.SIGNALS`. None: not measured.

        Raises:
            InputError: a score that is no score.
            ConfigError: a step that does not come after the last one.
        """
        if self._closed:
            raise ConfigError(f"{self.directory}: this guard is closed, by `close` or by another guard made for it")
        if self._owed:
            self._say_owed()
        self.check_rates()
        weights_finite = self._weights_are_finite()
        self._disk.look(self._history)

        def decide() -> dict[str, Any]:
            assert self._history is not None
            scores = self._reader.read(step, select, n, standard_error, report, signals)
            if not weights_finite:
                scores = replace(scores, not_finite="weights")
            elif getattr(self._controller, "needs_noise", False) and scores.record.standard_error is None:
                self._say_unseen(scores.not_finite)
            outcome = self._history.observe(scores, can_capture=self._keeper is not None)
            return outcome.to_json() | {"step": scores.record.step, "rate": self._history.rate}

        message = decided_by_first(self._ranks, decide)
        self._rate = message["rate"]
        outcome = Outcome.from_json(message)
        if self._history is not None:
            tolerate(self._history.write_journal)
        with trainable_tensors():
            self._disk.take(outcome, self._history)
        return self._announce(outcome, message["step"])

    def carry_out(self, decision: Decision) -> bool:
        """Carry out the last decision. Returns whether training ends.

        Collective in a distributed run. Nothing happens for a plain `continue`. A second call puts the same step back
        again and changes no learning rate a second time.

        A decision that changes the learning rate, where the guard was given none, is carried out without that and with
        a warning: a run is not ended for it. A guard that only decides has nothing to put back: it ends training for a
        rollback too, and says from which checkpoint to go on.
        """
        if decision != self._outcome.decision:
            raise ConfigError("only the guard's last decision can be carried out")
        self._owed = False
        with trainable_tensors():
            return self._carry_out(decision)

    def _carry_out(self, decision: Decision) -> bool:
        if self._state is None:
            if decision.action == "rollback":
                where = self.checkpoint or "your own checkpoint"
                self._say(f"this guard only decides: go on from {where} of step {decision.target_step}")
            if decision.changes:
                self._say(f"this guard only decides: your loop has to carry out {decision.changes}")
            return decision.action != "continue"
        self._disk.carry_out(self._outcome, self._history)
        if decision.forget_optimizer and not self._state.forget_optimizer():
            self._say("the decision resets the optimizer, but the guard holds none: put it into `state`")
        if self._outcome.rate_factor != 1.0 and (decision.action != "continue" or decision.changes_training):
            self._scale_learning_rate(self._state, self._outcome.rate_factor)
        self._outcome = self._outcome.again(self._state.rates_stay)
        if decision.action == "rollback" or (decision.action == "continue" and decision.average):
            for call in self._on_rollback:
                call()
        if decision.action == "stop" and self._hand_on is not None and not decision.average:
            self._hand_on.hand_on()
        return decision.action == "stop"

    def finish(self) -> Decision:
        """The decision when the budget is used up: which step to keep. Pass it to `carry_out`."""

        def decide() -> dict[str, Any]:
            assert self._history is not None
            return self._history.finish().to_json()

        outcome = Outcome.from_json(decided_by_first(self._ranks, decide))
        return self._announce(outcome, self._last_step or 0)

    # --- what it knows ------------------------------------------------------------------------------------------------

    @property
    def last_step(self) -> int | None:
        """The last step observed, by an earlier process too; None before the first."""
        return self._last_step

    @property
    def decision(self) -> Decision:
        """The last decision of this process."""
        return self._outcome.decision

    @property
    def best(self) -> Kept | None:
        """The best observation whose snapshot is kept (rank 0 only)."""
        return None if self._history is None else self._history.best()

    @property
    def best_score(self) -> tuple[int, float] | None:
        """(step, score) of the best evaluation, whether a snapshot of it is kept or not (rank 0 only)."""
        return None if self._history is None else self._history.best_score()

    @property
    def last_score(self) -> float | None:
        """The score of the last observation as the controller saw it (rank 0 only)."""
        return None if self._history is None else self._history.last_score

    @property
    def checkpoint(self) -> Path | None:
        """With `checkpoints`: the trainer's checkpoint of the step that the last decision names, else of the best one;
        None where there is none."""
        if self._protected is None or self._history is None:
            return None
        step = self._outcome.decision.target_step
        step = self._history.best_step() if step is None else step
        return None if step is None else self._protected.path(step)

    @property
    def learning_rate_scale(self) -> float:
        """Learning-rate multiplier of all decisions so far: multiply by it where your loop computes its own rates."""
        return self._rate

    def flush(self) -> None:
        """Wait until everything observed is on the disk. Call it before you save a checkpoint of your own."""
        self._disk.flush()

    def close(self) -> None:
        """Let another process have the directory. The end of the process does that too."""
        if self._owed:
            self._say_owed()
        self._disk.flush()
        self._closed = True
        if self._history is not None:
            self._history.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- how ----------------------------------------------------------------------------------------------------------

    @property
    def _memory(self) -> Mapping[int, Any]:
        """Snapshots in host memory."""
        return {} if self._keeper is None else self._keeper.memory

    def _weights_are_finite(self) -> bool:
        if self._state is None:
            return True
        return all(shared(self._ranks, self._state.finite()))

    def _scale_learning_rate(self, state: State, factor: float) -> None:
        before = state.rates()
        if state.scale_learning_rate(factor):
            self._lowered = list(zip(before, state.rates(), strict=True)) if factor < 1 else []
        else:
            self._say(
                f"the decision multiplies the learning rate by {factor:g}, and the guard holds no optimizer: put it in "
                "`state`, or give `scale_learning_rate` beside `capture` and `restore`"
            )

    def check_rates(self) -> None:
        """Say so where a loop or a scheduler outside `state` has set a rate that a decision had lowered. `observe` does
        this; right before `optimizer.step()` it sees more."""
        lowered, self._lowered = self._lowered, []
        if self._state is None or not lowered:
            return
        now = self._state.rates()
        if any(rate >= 0.99 * before > after for (before, after), rate in zip(lowered, now, strict=False)):
            self._say(
                f"a decision lowered the learning rate to {lowered[0][1]:.3g}, and it is {now[0]:.3g} again: something "
                "outside `state` sets it. Put its scheduler into `state`, or multiply by guard.learning_rate_scale"
            )

    def _say_unseen(self, not_finite: str) -> None:
        if not not_finite and "noise" not in self._said:
            self._said.add("noise")
            self._say(
                f"{self._controller.name}: a mean without n has unknown noise. It is estimated from the scatter of the "
                "scores, so in the first 12 evaluations no fall can be seen, however large: pass n (samples in the "
                "mean), counts per problem, or standard_error"
            )

    def _say_owed(self) -> None:
        """Raised in silence, this would end with the weights of the last step."""
        decision, self._owed = self._outcome.decision, False
        what = decision.action if decision.action != "continue" else decision.changes
        at = "" if decision.target_step is None else f" (step {decision.target_step})"
        self._say(f"the decision of step {self._last_step}, {what}{at}, was not carried out: call carry_out(decision)")

    def _say(self, text: str) -> None:
        warnings.warn(f"crestfall guard: {text}", CrestfallWarning, stacklevel=4)

    def _announce(self, outcome: Outcome, step: int) -> Decision:
        self._outcome, self._last_step = outcome, step
        decision = outcome.decision
        due = decision.changes_training or outcome.target not in (None, outcome.current) or bool(outcome.mean_of)
        self._owed = self._state is not None and due
        if self._ranks.rank == 0:
            if self._protected is not None and self._history is not None:
                tolerate(self._protected.keep, self._history.needed(outcome.decision.target_step))
            if outcome.decision.action != "continue" or outcome.decision.reason:
                for notify in self._notify:
                    tolerate(notify, outcome.decision, step)
        return outcome.decision
