"""A guard's snapshots on disk: immutable directories that appear whole, by a rename, or not at all.

    snapshots/000012-step-12/
        state.safetensors     what rank 0 holds; observation.json, about.json   what it was, and checksums
        rank-00001.safetensors     what another rank had of its own, where it had anything
        shards/     sharded tensors, a file of each rank (torch.distributed.checkpoint)

Written from the guard's writer thread. Each carries the observation it was taken at, so that a crash between the
snapshot and the journal loses neither.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from crestfall.core.errors import InputError
from crestfall.core.types import Record
from crestfall.guard.journal import Observation
from crestfall.guard.keeper import Held
from crestfall.store import statetree
from crestfall.store.checksums import checksums
from crestfall.store.files import sync, sync_directory, writing
from crestfall.store.statetree import Outline, Packed

STATE = "state.safetensors"
SHARDS = "shards"
_OBSERVATION = "observation.json"
_ABOUT = "about.json"

WriteShards = Callable[[Path], object]


class Snapshots:
    def __init__(self, root: Path) -> None:
        """Look at what is there; sweep out what crashed writers left."""
        self._root = root
        self._paths: dict[int, Path] = {}
        self._newest: tuple[dict[str, int], list[Record]] = ({}, [])
        """Checksums of the newest snapshot, and the records of the last ones that have the same."""
        if not root.exists():
            return
        for entry in root.iterdir():
            if entry.name.startswith("."):
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name.split("-")[0].isdigit():
                self._paths[int(entry.name.split("-")[0])] = entry

    def __contains__(self, identity: int) -> bool:
        return identity in self._paths

    @property
    def ids(self) -> frozenset[int]:
        return frozenset(self._paths)

    def path(self, identity: int) -> Path:
        return self._paths[identity]

    def save(
        self, observation: Observation, held: Held, about: Mapping[str, Any], write_shards: WriteShards | None = None
    ) -> None:
        """Raises RunDirectoryError where it cannot be written; nothing that was there before is touched then."""
        name = snapshot_name(observation.id, observation.record.step)
        temporary, final = self._root / f".{name}", self._root / name
        plain = Packed(
            held.packed.skeleton, {k: v for k, v in held.packed.leaves.items() if k not in held.packed.sharded}
        )
        with writing(self._root):
            try:
                if write_shards is not None:  # first: the other ranks wait in it
                    write_shards(temporary / SHARDS)
                temporary.mkdir(parents=True, exist_ok=True)
                statetree.write(plain, temporary / STATE)
                for rank, raw in held.parts.items():
                    (temporary / _part(rank)).write_bytes(raw)
                (temporary / _OBSERVATION).write_text(json.dumps(observation.to_json(), allow_nan=False))
                known = {**about, "checksums": checksums(plain.leaves), "parts": sorted(held.parts)}
                (temporary / _ABOUT).write_text(json.dumps(known))
                for file in temporary.rglob("*"):
                    if file.is_file():
                        sync(file)
                sync_directory(temporary)
                temporary.rename(final)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            sync_directory(self._root)
        self._paths[observation.id] = final
        self._say_unchanged(observation.record, known["checksums"])

    def _say_unchanged(self, record: Record, sums: dict[str, int]) -> None:
        """Raises InputError at the third new best in a row whose snapshot is that of the one before, to the bit."""
        before, records = self._newest
        same = bool(sums) and sums == before and record.value > records[-1].value
        records = [*records, record] if same else [record]
        self._newest = sums, records
        if len(records) == 3:
            steps = ", ".join(str(item.step) for item in records)
            raise InputError(
                f"the snapshots of steps {steps} are the same, though each has a better score: if the run trains, it "
                "trains other objects (a copy, or new tensors under an old name): give the guard those"
            )

    def load(self, identity: int) -> Packed:
        """Raises InputError where the file is torn, or not what was written."""
        packed = statetree.read(self._paths[identity] / STATE)
        meant = self.about(identity).get("checksums", {})
        now = checksums({name: leaf for name, leaf in packed.leaves.items() if name in meant})
        if bad := [name for name in now if now[name] != meant[name]]:
            raise InputError(f"{self._paths[identity] / STATE}: {bad[0]} is not what was written: the file is damaged")
        return packed

    def parts(self, identity: int) -> dict[int, bytes]:
        """Parts that differ on other ranks."""
        ranks = self.about(identity).get("parts", [])
        return {rank: (self._paths[identity] / _part(rank)).read_bytes() for rank in ranks}

    def shards(self, identity: int) -> Path | None:
        path = self._paths[identity] / SHARDS
        return path if path.exists() else None

    def about(self, identity: int) -> dict[str, Any]:
        """Facts that a restart needs beside the state; empty for a snapshot of crestfall 0.1."""
        path = self._paths[identity] / _ABOUT
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return known

    def outline(self, identity: int) -> Outline:
        return statetree.outline_of_file(self._paths[identity] / STATE)

    def observation(self, identity: int) -> Observation:
        """Raises InputError that names the file if it is not what `save` wrote."""
        path = self._paths[identity] / _OBSERVATION
        try:
            return Observation.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not an observation of a guard ({error!r})") from None

    def deleted(self) -> list[Path]:
        """Those that somebody has deleted, which are forgotten with this."""
        missing = [identity for identity, path in tuple(self._paths.items()) if not path.exists()]
        return [self.forget(identity) for identity in missing if identity in self]  # `prune` forgets first

    def forget(self, identity: int) -> Path:
        """Use it no more, and leave it where it is. Returns where that is."""
        return self._paths.pop(identity)

    def prune(self, keep: Collection[int]) -> None:
        """Delete every snapshot but these. A directory first loses its name, so that none is ever seen half deleted."""
        for identity in self.ids - frozenset(keep):
            path = self._paths.pop(identity)
            hidden = path.with_name(f".{path.name}")
            with writing(path):
                shutil.rmtree(hidden, ignore_errors=True)
                path.rename(hidden)
            shutil.rmtree(hidden, ignore_errors=True)


def snapshot_name(identity: int, step: int) -> str:
    return f"{identity:06d}-step-{step}"


def _part(rank: int) -> str:
    return f"rank-{rank:05d}.safetensors"
