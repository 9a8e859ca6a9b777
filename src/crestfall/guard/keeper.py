"""A guard's snapshots of the training state in memory, on every rank: take them, and put them back.

Rank 0 holds a whole copy. The others hold only what differs from rank 0's (a random generator, a buffer of their own)
and are sent the rest when it is needed. Of sharded tensors every rank holds its own shards.
"""

from __future__ import annotations

import json
import warnings
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from crestfall.core.errors import ConfigError, CrestfallWarning
from crestfall.guard import sharded
from crestfall.guard.ranks import Ranks, everywhere, shared
from crestfall.guard.rehearsal import differences, misfit
from crestfall.guard.state import State
from crestfall.store import statetree
from crestfall.store.buffers import Buffers
from crestfall.store.checksums import checksums
from crestfall.store.files import digest
from crestfall.store.statetree import Outline, Packed

_SMALL = b"-"
"""Prefix of a rank's part that holds only random generators."""


@dataclass(frozen=True)
class Held:
    """One snapshot as a rank has it. `parts`: on rank 0, what other ranks have of their own, as state files."""

    packed: Packed
    parts: Mapping[int, bytes] = field(default_factory=dict)
    small_parts: bool = True
    """Whether `parts` hold only random generators, which a restart with another number of processes can omit."""
    transient: Mapping[str, int] = field(default_factory=dict)
    """Checksums of buffers that are in no `state_dict`, and so in no snapshot."""


class Keeper:
    def __init__(self, state: State, ranks: Ranks, in_memory: bool, is_sharded: bool | None) -> None:
        """Rehearse a restore: what is captured now is put back at once and compared.

        `is_sharded`: None finds out by itself.

        Raises:
            InputError, ConfigError: the state holds something that cannot be stored, or does not come back.
        """
        self._state, self._ranks, self.in_memory = state, ranks, in_memory
        self._buffers = Buffers()
        self.memory: dict[int, Held] = {}
        self.outline: Outline | None = None
        self._build: Any = None
        self._classes: dict[str, str] = {}
        shards = any(shared(ranks, everywhere(ranks, self._rehearse)))
        if is_sharded is None:
            is_sharded = shards
        elif not is_sharded and shards:
            raise ConfigError("sharded=False was given, but the state holds sharded tensors (DTensor)")
        self.sharded = is_sharded

    def _rehearse(self) -> bool:
        """Whether the state has shards."""
        live = statetree.look(self._state.capture())
        if (path := self._state.trained_elsewhere(live.leaves.values())) and self._ranks.rank == 0:
            warnings.warn(
                f"crestfall guard: state[{path!r}] trains weights that nothing in `state` holds: a return leaves them "
                "where they are. Put them, or the model that they belong to, into `state`",
                CrestfallWarning,
                stacklevel=4,
            )
        held = statetree.copied(live)
        if self._state.own:
            self._refuse_gathered(held)
        self._state.restore(statetree.unpack(held))
        if odd := self._differences(held):
            raise ConfigError(f"restoring the captured state does not reproduce it exactly: {', '.join(odd[:3])}")
        self._state.begin()
        self.outline, self._classes, self._build = statetree.outline(held), self._state.classes, self._state.build()
        return bool(held.sharded)

    def _refuse_gathered(self, held: Packed) -> None:
        """A state that only rank 0 has (`full_state_dict`) cannot be rehearsed: torch's way of scattering it hangs."""
        counts = shared(self._ranks, len(held.leaves))
        if 0 in counts and any(counts):
            raise ConfigError(
                "capture: only some of the ranks return tensors, as with full_state_dict=True. Give the guard the "
                "sharded model and optimizer as they are, state={'model': model, 'optimizer': optimizer}: every rank "
                "then keeps its own shards"
            )

    # --- taking -------------------------------------------------------------------------------------------------------

    def capture(self, identity: int) -> tuple[Held, str]:
        """Take a snapshot. Collective. Returns it, and why those of before do not fit any more ("": they do)."""
        live = statetree.look(self._state.capture())
        changed = self._compared(live)
        held = self._held(live)
        if self.in_memory:
            self.memory[identity] = held
        return held, changed

    def rebuilt(self) -> bool:
        """Whether the model or an optimizer is built in another way than it was. Costs next to nothing."""
        before, self._build = self._build, self._state.build()
        return bool(self._build != before)

    def changed(self) -> str:
        """Why snapshots of before do not fit any more ("": they do). Collective."""
        return self._compared(statetree.look(self._state.capture()))

    def _compared(self, live: Packed) -> str:
        assert self.outline is not None
        outline = statetree.outline(live)
        why = misfit(self.outline, outline, self._state, self._classes)
        self.outline, self._classes = outline, self._state.classes
        return why

    def copy_of_now(self) -> Held:
        """The state as it is, beside the snapshots. Collective."""
        return self._held(statetree.look(self._state.capture()))

    @property
    def weights(self) -> Callable[[], Mapping[str, Any]]:
        """Weights over which a mean of snapshots is taken."""
        return self._state.weights

    def _held(self, live: Packed) -> Held:
        return self._copy(live) if self._ranks.size == 1 else self._shared_copy(live)

    def _copy(self, live: Packed, only: set[str] | None = None) -> Held:
        packed = statetree.copied(live, self._buffers.copy, only)
        tensors = (getattr(leaf, "local", leaf) for leaf in packed.leaves.values())
        spare = [tensor for tensor in tensors if hasattr(tensor, "untyped_storage")]
        weakref.finalize(packed, self._buffers.give, spare).atexit = False
        return Held(packed, transient=checksums(self._state.transient()))

    def _shared_copy(self, live: Packed) -> Held:
        """Rank 0 copies all; the others find out what of theirs is not rank 0's, and send that to it for the disk."""
        plain = {name: leaf for name, leaf in live.leaves.items() if name not in live.sharded}
        mine: dict[str, Any] = {"skeletons": self._digests(live), "sums": checksums(plain)}
        first = json.loads(self._ranks.broadcast(json.dumps(mine).encode() if self._ranks.rank == 0 else None))
        if self._ranks.rank == 0:
            parts = {rank: raw for rank, raw in enumerate(self._ranks.gather(b"")) if raw}
            small = all(raw.startswith(_SMALL) for raw in parts.values())
            return replace(self._copy(live), parts={rank: raw[1:] for rank, raw in parts.items()}, small_parts=small)
        own = {name for name, value in mine["sums"].items() if first["sums"].get(name) != value}
        held = self._copy(live, own | live.sharded.keys())
        self._ranks.gather(self._part(held.packed, own, mine["skeletons"], first["skeletons"]))
        return held

    def _digests(self, live: Packed) -> list[str]:
        """Digests of the skeleton with and without the random generators."""
        whole = live.skeleton
        rest = whole
        if isinstance(whole, dict):
            rest = {name: part for name, part in whole.items() if name not in self._state.generators}
        return [digest(whole), digest(rest)]

    def _part(self, packed: Packed, own: set[str], mine: list[str], first: list[str]) -> bytes:
        """Bytes that rank 0 has to write for this rank: none where rank 0 holds the same."""
        if not own and mine[0] == first[0]:
            return b""
        small = mine[1] == first[1] and all(name.split(".")[0] in self._state.generators for name in own)
        part = Packed(packed.skeleton, {name: packed.leaves[name] for name in own})
        return (_SMALL if small else b"+") + statetree.to_bytes(part)

    # --- putting back -------------------------------------------------------------------------------------------------

    def put_back(self, held: Held | None) -> list[str]:
        """Put back a snapshot that is in memory; `held` is this rank's. Collective. Returns what came out otherwise."""
        packed = held.packed if held is not None else None
        if self._ranks.size > 1:
            packed = self._completed(packed)
        assert packed is not None
        return self._restored(packed)

    def put_back_from_disk(self, packed: Packed | None, parts: Mapping[int, bytes], shards: Any) -> list[str]:
        """The same for one that rank 0 has read. `shards`: the directory of the sharded tensors, None without any."""
        if self._ranks.size > 1:
            packed = self._sent(packed)
            packed = self._own_part(packed, parts)
        assert packed is not None
        if shards is not None:
            self._state.prepare()
            live = statetree.look(self._state.capture()).sharded
            packed = Packed(packed.skeleton, {**packed.leaves, **sharded.load(live, shards)})
        return self._restored(packed)

    def _restored(self, packed: Packed) -> list[str]:
        self._state.restore(statetree.unpack(packed))
        self._state.forget_gradients()
        odd = [name for name in self._differences(packed) if not self._state.moves_on(name)]
        if self._state.own or self._state.rates_stay:
            return odd  # of what does not come back as it was, some is meant to
        return odd + differences(packed.skeleton, statetree.look(self._state.capture()).skeleton)

    def _completed(self, mine: Packed | None) -> Packed:
        first = self._sent(Packed(mine.skeleton, _plain(mine)) if mine is not None else None)
        if mine is None:
            return first
        return Packed(mine.skeleton, {**first.leaves, **mine.leaves})

    def _sent(self, packed: Packed | None) -> Packed:
        """Rank 0's, on every rank: tensor by tensor, so that nobody holds it twice."""
        if self._ranks.rank == 0:
            assert packed is not None
            self._ranks.broadcast(json.dumps([packed.skeleton, list(packed.leaves)]).encode())
            for name, leaf in packed.leaves.items():
                self._ranks.broadcast(statetree.to_bytes(Packed(None, {name: leaf})))
            return packed
        skeleton, names = json.loads(self._ranks.broadcast(None))
        leaves: dict[str, Any] = {}
        for name in names:
            leaves |= statetree.from_bytes(self._ranks.broadcast(None), f"{name} from rank 0").leaves
        return Packed(skeleton, leaves)

    def _own_part(self, packed: Packed, parts: Mapping[int, bytes]) -> Packed:
        """The snapshot with the state that only this rank had when it was taken."""
        for rank in shared(self._ranks, sorted(parts))[0]:
            raw = self._ranks.broadcast(parts[rank] if self._ranks.rank == 0 else None)
            if rank == self._ranks.rank:
                own = statetree.from_bytes(raw, f"the part of rank {rank}")
                packed = Packed(own.skeleton, {**packed.leaves, **own.leaves})
        return packed

    def not_put_back(self, then: Mapping[str, int]) -> list[str]:
        """Buffers that have changed since a snapshot and are in none: `then`, what it knows of them."""
        now = checksums(self._state.transient())
        return [name for name in then if name in now and now[name] != then[name]]

    def _differences(self, packed: Packed) -> list[str]:
        """Names of what is live now and not what was put back."""
        live = statetree.look(self._state.capture())
        now = checksums({name: leaf for name, leaf in live.leaves.items() if name in packed.leaves})
        meant = checksums({name: leaf for name, leaf in packed.leaves.items() if name in live.leaves})
        return [name for name in meant if now[name] != meant[name]]

    def outline_now(self) -> Outline:
        """Outline of the current state. Collective: every rank calls it."""
        return statetree.outline(statetree.look(self._state.capture()))

    def unfit(self, stored: Outline, live: Outline) -> str:
        """Why a snapshot cannot be put back into the state as it is now; "" where it can. Dtypes are cast."""
        return misfit(_without_dtypes(stored), _without_dtypes(live), self._state)

    # --- rehearsing ---------------------------------------------------------------------------------------------------

    def fits(self, outline: Outline, classes: Mapping[str, str]) -> str:
        """Why a stored snapshot does not go into the state as it is now; "" where it does."""
        assert self.outline is not None
        return misfit(outline, self.outline, self._state, classes) or self._state.lacks(outline)

    def about(self) -> dict[str, Any]:
        """Facts of a snapshot that a restart needs beside its state."""
        return {"processes": self._ranks.size, "classes": dict(self._state.classes)}


def _without_dtypes(outline: Outline) -> Outline:
    return Outline(outline.skeleton, {n: spec and ("tensor", spec[1]) for n, spec in outline.tensors.items()})


def _plain(packed: Packed) -> dict[str, Any]:
    shards = packed.sharded
    return {name: leaf for name, leaf in packed.leaves.items() if name not in shards}
