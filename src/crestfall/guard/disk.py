"""Between a guard's memory and its disk: what is written beside the training loop, pruned, verified and read again."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from crestfall.core.errors import ConfigError, CrestfallWarning, InputError
from crestfall.guard import sharded
from crestfall.guard.average import WeightAverage
from crestfall.guard.history import History
from crestfall.guard.keeper import Held, Keeper
from crestfall.guard.outcome import Outcome
from crestfall.guard.ranks import Ranks, decided_by_first, shared
from crestfall.guard.snapshots import SHARDS
from crestfall.guard.writer import Writer
from crestfall.store import statetree
from crestfall.store.statetree import Outline, Packed
from crestfall.store.tensors import Shard


class Disk:
    """Disk side of a guard, on every rank. Rank 0 has the history; the others write only their shards of the state."""

    def __init__(self, keeper: Keeper | None, ranks: Ranks, directory: Path) -> None:
        self._keeper, self._ranks, self._directory = keeper, ranks, directory
        self._writer = Writer()
        self._pending: dict[int, Held] = {}
        self._read: tuple[Packed, dict[int, bytes]] | None = None

    def held(self) -> Collection[int]:
        """Snapshots that are in memory, or on their way to the disk."""
        memory = self._keeper.memory.keys() if self._keeper is not None else frozenset()
        return frozenset(memory) | frozenset(self._pending)

    def open(self, history: History) -> None:
        """Rehearse going back to what is there already (rank 0).

        Raises:
            ConfigError: a snapshot of another model, optimizer or number of processes.
        """
        if self._keeper is None:
            return
        snapshots = history.snapshots
        for identity in sorted(snapshots.ids):
            where = snapshots.path(identity)
            try:
                outline, about = snapshots.outline(identity), snapshots.about(identity)
            except (InputError, OSError, ValueError) as error:
                self._say(f"{error}; it is set aside")
                snapshots.forget(identity)
                continue
            if why := self._keeper.fits(outline, about.get("classes", {})):
                raise ConfigError(
                    f"{where}: a snapshot of another run: {why}. Give every run a directory of its own, or move this "
                    "one away to begin again"
                )
            if about.get("parts") and about["processes"] != self._ranks.size and not about.get("rng_only", True):
                raise ConfigError(
                    f"{where}: was taken by {about['processes']} processes that each held tensors of their own; there "
                    f"are {self._ranks.size} now. Start as many, or give every run a directory of its own"
                )
        for identity in snapshots.ids:
            self._writer.submit(partial(self._verify, history, identity))

    def _verify(self, history: History, identity: int) -> None:
        try:
            history.snapshots.load(identity)
        except (InputError, OSError) as error:
            history.snapshots.forget(identity)
            raise InputError(f"{error}; it is set aside") from None

    def look(self, history: History | None) -> None:
        """Let go of all snapshots at once where the state is built in another way by now. Collective."""
        if self._keeper is None or not any(shared(self._ranks, self._keeper.rebuilt())):
            return
        if (changed := self._keeper.changed()) and history is not None:
            self._lose(history, changed)

    def take(self, outcome: Outcome, history: History | None) -> None:
        """Take the snapshot that an outcome asks for, let go of those that it does not want, and have the disk follow.

        Collective.
        """
        if history is not None:
            self._writer.submit(history.sync_journal)
        if self._keeper is None:
            return
        self._drain()
        large = None
        if outcome.snapshot is not None:
            if not self._keeper.in_memory:
                self._writer.wait()  # one copy in host memory, and no more
            held, changed = self._keeper.capture(outcome.snapshot)
            if changed and history is not None:
                self._lose(history, changed, outcome.snapshot)
            self._pending[outcome.snapshot] = held
            large = outcome.snapshot
        wanted = outcome.wanted if history is None else outcome.wanted & history.available()
        for identity in self._keeper.memory.keys() - wanted:
            del self._keeper.memory[identity]
        if history is not None:
            waiting = wanted & self._keeper.memory.keys() - history.snapshots.ids - self._pending.keys()
            for identity in sorted(waiting if not self._keeper.sharded else ()):
                self._pending[identity] = self._keeper.memory[identity]
                self._writer.submit(partial(self._save, history, identity), large=True)
            if large is not None:
                self._writer.submit(partial(self._save, history, large), large=True)
            if large is not None or history.snapshots.ids - outcome.wanted:
                self._writer.submit(partial(self._prune, history, outcome.wanted))
        elif large is not None:
            self._save_shards_of(large, outcome)

    def _save(self, history: History, identity: int) -> None:
        held = self._pending[identity]
        assert self._keeper is not None
        shards = held.packed.sharded
        write = None
        if shards:
            write = partial(self._write_shards, shards)
        try:
            about = self._keeper.about() | {"rng_only": held.small_parts, "transient": dict(held.transient)}
            history.snapshots.save(history.observation(identity), held, about, write)
        finally:
            del self._pending[identity]

    def _write_shards(self, shards: Mapping[str, Shard], directory: Path) -> None:
        sharded.save(shards, directory, self._ranks.rank)
        sharded.wait_for_all(directory, self._ranks.size)

    def _save_shards_of(self, identity: int, outcome: Outcome) -> None:
        """Write the shards of a rank other than 0. `held`, and with it their memory, lives as long as the job."""
        held = self._pending.pop(identity)
        place = self._directory / "snapshots" / f".{outcome.place}" / SHARDS

        def write() -> None:
            sharded.save(held.packed.sharded, place, self._ranks.rank)

        if held.packed.sharded:
            self._writer.submit(write, large=True)

    def _prune(self, history: History, wanted: frozenset[int]) -> None:
        """Delete what is not wanted."""
        there = history.snapshots.ids
        history.snapshots.prune(wanted | history.spare(wanted - there, there))

    def _lose(self, history: History, why: str, newest: int | None = None) -> None:
        self._writer.wait()
        lost = (history.snapshots.ids | frozenset(self.held())) - {newest}
        for identity in lost & history.snapshots.ids:
            history.snapshots.forget(identity)
        history.forget(lost)
        self._say(
            f"the state has changed: {why}. Earlier snapshots do not go back into it: they stay on the disk and are no "
            "targets any more. Make a new guard when the model changes"
        )

    # --- back ---------------------------------------------------------------------------------------------------------

    def carry_out(self, outcome: Outcome, history: History | None) -> None:
        """Put back what an outcome names, and the mean that it names in place of the weights. Collective."""
        assert self._keeper is not None
        mean = WeightAverage.of(self._keeper.weights) if outcome.mean_of else None
        if mean is not None and not self._keeper.weights():
            self._say("the decision averages weights, but the guard holds none: put the model into `state`")
            mean = None
        if mean is not None:
            here = self._keeper.copy_of_now() if outcome.target is None else None
            if outcome.current in outcome.mean_of:
                mean.update()
            for identity in outcome.mean_of:
                if identity != outcome.current:
                    self.put_back(identity, history)
                    mean.update()
            if here is not None:
                self._keeper.put_back(here)
        if outcome.target is not None:
            self.put_back(outcome.target, history)
        if mean is not None:
            mean.hand_on()

    def put_back(self, target: int, history: History | None) -> None:
        """Put a snapshot back: from memory, else from the disk, else the next best one that can be read. Collective."""
        assert self._keeper is not None
        live = self._keeper.outline_now()
        plan = decided_by_first(self._ranks, lambda: self._plan(target, history, live))
        if plan["from"] == "memory":
            odd = self._keeper.put_back(self._keeper.memory.get(plan["id"]))
        elif plan["from"] == "disk":
            self._writer.wait()
            packed, parts = self._read or (None, {})
            self._read = None
            shards = None if plan["shards"] is None else Path(plan["shards"])
            odd = self._keeper.put_back_from_disk(packed, parts, shards)
        else:
            self._say("no snapshot can be restored; the weights stay as they are")
            return
        if odd:
            self._say(f"the restored state differs from the captured one: {', '.join(odd[:3])} ({len(odd)} in all)")
        if history is not None and (left := self._keeper.not_put_back(plan["transient"])):
            self._say(
                f"buffers with persistent=False are in no state_dict; these have changed since and stay as they are: "
                f"{', '.join(left[:3])} ({len(left)} in all)"
            )
        self._drain()

    def _plan(self, target: int, history: History | None, live: Outline) -> dict[str, Any]:
        assert history is not None
        assert self._keeper is not None
        wanted: int | None = target
        while wanted is not None:
            step = history.observation(wanted).record.step
            try:
                if held := self._keeper.memory.get(wanted):
                    self._fitting(step, statetree.outline(held.packed), live)
                    return {"from": "memory", "id": wanted, "transient": held.transient}
                self._writer.wait()
                self._fitting(step, history.snapshots.outline(wanted), live)
                self._read = history.snapshots.load(wanted), history.snapshots.parts(wanted)
                shards, about = history.snapshots.shards(wanted), history.snapshots.about(wanted)
                where = None if shards is None else str(shards)
                return {"from": "disk", "id": wanted, "shards": where, "transient": about.get("transient", {})}
            except (InputError, OSError, KeyError) as error:
                history.forget([] if wanted is None else [wanted])
                wanted = history.best_of(history.available())
                left = "none is left" if wanted is None else f"step {history.observation(wanted).record.step}"
                self._say(f"{error}; the next best step is used instead: {left}")
        return {"from": "nothing"}

    def _fitting(self, step: int, stored: Outline, live: Outline) -> None:
        """Raises InputError where the model or the optimizer has changed since a snapshot: half of it must not be put
        back."""
        assert self._keeper is not None
        if why := self._keeper.unfit(stored, live):
            raise InputError(f"the state has changed since step {step}: {why}")

    def flush(self) -> None:
        """Wait until all is written, and say what could not be."""
        self._writer.wait()
        self._drain()

    def _drain(self) -> None:
        for error in self._writer.errors():
            self._say(str(error))

    def _say(self, text: str) -> None:
        warnings.warn(f"crestfall guard: {text}", CrestfallWarning, stacklevel=5)
