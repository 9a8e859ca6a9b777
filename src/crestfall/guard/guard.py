"""A guard for a training loop of your own: has the run peaked, and if so, back to the peak.

    guard = Guard("runs/guard", control="early_stop", state={"model": model, "optimizer": optimizer})
    ...
        decision = guard.observe(step, select=pass_at_1, n=480)
        if guard.carry_out(decision):
            break

The controllers are the testbed's own. The guard keeps the snapshots that a later decision may need, and always the best
one, in memory and on disk, and goes on from there after a restart. It is not a checkpointer of the last step: keep your
own for that.

What is on disk when, at any instant that a process may die: the snapshot of an observation is complete (temporary
directory, fsync, rename) before the journal mentions it, and an old snapshot is deleted after the new one and the
journal are on the disk.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from crestfall.control.base import Controller
from crestfall.core.build import component
from crestfall.core.errors import ConfigError, CrestfallWarning, InputError
from crestfall.core.types import Decision, Evaluation
from crestfall.guard.history import History, Kept, Outcome, Scores
from crestfall.guard.journal import make_record, samples_of
from crestfall.guard.ranks import Ranks, decided_by_first, detect
from crestfall.guard.state import Tree, functions
from crestfall.store import statetree

Notify = Callable[[Decision, int], object]
"""Called with every decision that is more than `continue`, and the step at which it was made. Must not block."""


class Guard:
    """Watches one run. In a distributed run make one on every rank, after `init_process_group`; rank 0 decides for all.

    Args:
        directory: where observations and snapshots are kept. One run each; the same directory again goes on from there.
        control: a controller: its name, `{"name": ..., option: ...}`, or an object of one's own with its methods.
        state: what to take snapshots of: named objects with `state_dict` / `load_state_dict`, tensors, arrays.
        capture, restore: instead of `state`, functions that return and take back a state tree of your own making.
            Without either the guard only decides.
        scale_learning_rate: beside `capture` and `restore`, a function that multiplies the learning rate (the one that
            `restore` brings back), for controllers that change it. With `state` the guard does it: `param_groups` of
            optimizers, `base_lrs` of schedulers.
        in_memory: keep a copy of the snapshots in host memory too: going back is fast, and works with a full disk.
        max_snapshots: bound on the snapshots kept; on disk there are never more than this many and one being written.
        notify: told of every alert, stop and rollback, on rank 0.
        ranks: the processes of the run; by default torch's default process group, if there is one.

    Raises:
        ConfigError: options that do not go together.
        RunDirectoryError: the directory cannot be written, or another process is at work in it.
        InputError: the directory holds something that no guard wrote.
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
        in_memory: bool = True,
        max_snapshots: int = 3,
        notify: Sequence[Notify] = (),
        ranks: Ranks | None = None,
    ) -> None:
        if max_snapshots < 1:
            raise ConfigError(f"max_snapshots: at least 1, found {max_snapshots}")
        self.directory = Path(directory)
        self._functions = functions(state, capture, restore, scale_learning_rate)
        self._ranks = ranks or detect()
        self._in_memory = in_memory
        self._notify = tuple(notify)
        self._memory: dict[int, statetree.Packed] = {}
        self._outcome = Outcome(Decision("continue"))
        self._history: History | None = None  # rank 0 alone has one

        def open_history() -> dict[str, Any]:
            self._history = History(self.directory, as_controller(control), max_snapshots, self._memory)
            return {"last_step": self._history.last_step}

        self._last_step: int | None = decided_by_first(self._ranks, open_history)["last_step"]

    # --- the three lines ---------------------------------------------------------------------------------------------

    def observe(
        self,
        step: int,
        *,
        select: float | Sequence[int] | Evaluation,
        n: int | None = None,
        standard_error: float | None = None,
        report: float | None = None,
        **signals: float | None,
    ) -> Decision:
        """Take in the evaluation of the weights as they are now, after `step` updates, and decide.

        In a distributed run every rank calls this; what the others pass is not looked at.

        Args:
            step: updates taken so far. Grows from call to call, after a rollback too.
            select: the score to be maximised: a mean, or for each problem how many of its samples passed.
            n: samples in that mean all told; with counts, samples of each problem. Gives the evaluation's noise.
            standard_error: of a mean, where you know it better.
            report: the score on problems that are kept from every decision. Stored for `crestfall replay` alone.
            signals: what else was measured, by the names of `crestfall.core.signals.SIGNALS`. None: not measured.

        Raises:
            InputError: a score that is no score.
            ConfigError: a step that does not come after the last one.
        """

        def decide() -> dict[str, Any]:
            assert self._history is not None
            if report is not None and not math.isfinite(report):
                raise InputError(f"step {step}: report is {report}; leave it out where it was not measured")
            record = make_record(step, select, n, standard_error, signals)
            scores = Scores(record, report, samples_of(record, n))
            return self._history.observe(scores, can_capture=self._functions is not None).to_json()

        outcome = Outcome.from_json(decided_by_first(self._ranks, decide))
        packed = None
        if outcome.snapshot is not None and self._functions is not None:
            packed = statetree.pack(self._functions.capture())
            if self._in_memory:
                self._memory[outcome.snapshot] = packed
        if self._history is not None:
            _tolerate(self._history.commit, packed)
        for identity in self._memory.keys() - outcome.wanted:
            del self._memory[identity]
        return self._announce(outcome, step)

    def carry_out(self, decision: Decision) -> bool:
        """Put back what the last decision names, and say whether training is to end.

        Collective in a distributed run. Nothing happens for `continue`, nor where the target is the step just observed.

        A decision that changes the learning rate, where the guard was given none, is carried out without that and with
        a warning: a run is not ended for it.
        """
        if decision != self._outcome.decision:
            raise ConfigError("only the guard's last decision can be carried out")
        if self._functions is not None:
            if self._outcome.target is not None:
                self._functions.restore(statetree.unpack(self._fetch(self._outcome.target)))
            if self._outcome.rate_factor != 1.0:
                self._scale_learning_rate(self._functions.scale_learning_rate, self._outcome.rate_factor)
        return decision.action == "stop"

    def finish(self) -> Decision:
        """The decision where training ends by itself, its budget used up: which step to hand on. To be carried out."""

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

    def close(self) -> None:
        """Let another process have the directory. The end of the process does that too."""
        if self._history is not None:
            self._history.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- how ----------------------------------------------------------------------------------------------------------

    def _scale_learning_rate(self, scale: Callable[[float], None] | None, factor: float) -> None:
        if scale is not None:
            scale(factor)
            return
        warnings.warn(
            f"crestfall guard: the learning rate is to be multiplied by {factor:g}, and there is none in reach: put "
            "the optimizer into `state`, or give `scale_learning_rate` beside `capture` and `restore`",
            CrestfallWarning,
            stacklevel=3,
        )

    def _announce(self, outcome: Outcome, step: int) -> Decision:
        self._outcome, self._last_step = outcome, step
        if self._ranks.rank == 0 and (outcome.decision.action != "continue" or outcome.decision.reason):
            for notify in self._notify:
                _tolerate(notify, outcome.decision, step)
        return outcome.decision

    def _fetch(self, identity: int) -> statetree.Packed:
        # All ranks have made the same observations since they started: all have it in memory, or none has.
        if identity in self._memory:
            return self._memory[identity]
        if self._ranks.size == 1:
            assert self._history is not None
            return self._history.load(identity)
        raw = self._ranks.broadcast(self._history.raw(identity) if self._history is not None else None)
        return statetree.from_bytes(raw, f"snapshot {identity} from rank 0")


def as_controller(control: str | Mapping[str, Any] | Controller) -> Controller:
    """A registered controller by its name or options; any other object is taken for a controller as it is."""
    if isinstance(control, str):
        control = {"name": control}
    if isinstance(control, Mapping):
        built: Controller = component("control", control)
        return built
    return control


def _tolerate(call: Callable[..., object], *args: object) -> None:
    """A disk that is full or an alert that cannot be sent must not end a training run: it becomes a warning."""
    try:
        call(*args)
    except Exception as error:
        warnings.warn(f"crestfall guard: {error}", CrestfallWarning, stacklevel=4)
