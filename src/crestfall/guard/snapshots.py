"""A guard's snapshots on disk: immutable directories that appear whole, by a rename, or not at all.

    snapshots/000012-step-12/     state.safetensors   observation.json

Each carries the observation it was taken at, so that a crash between the snapshot and the journal loses neither.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path

from crestfall.core.errors import InputError
from crestfall.guard.journal import Observation
from crestfall.store import statetree
from crestfall.store.files import sync, sync_directory, writing

STATE = "state.safetensors"
_OBSERVATION = "observation.json"


class Snapshots:
    def __init__(self, root: Path) -> None:
        """Look at what is there; sweep out what crashed writers left."""
        self._root = root
        self._paths: dict[int, Path] = {}
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

    def save(self, observation: Observation, packed: statetree.Packed) -> None:
        """Raises RunDirectoryError where it cannot be written; nothing that was there before is touched then."""
        name = f"{observation.id:06d}-step-{observation.record.step}"
        temporary, final = self._root / f".{name}", self._root / name
        with writing(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            try:
                shutil.rmtree(temporary, ignore_errors=True)
                temporary.mkdir()
                statetree.write(packed, temporary / STATE)
                (temporary / _OBSERVATION).write_text(json.dumps(observation.to_json(), allow_nan=False))
                for file in (STATE, _OBSERVATION):
                    sync(temporary / file)
                sync_directory(temporary)
                temporary.rename(final)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            sync_directory(self._root)
        self._paths[observation.id] = final

    def load(self, identity: int) -> statetree.Packed:
        return statetree.read(self._paths[identity] / STATE)

    def observation(self, identity: int) -> Observation:
        """Raises InputError that names the file if it is not what `save` wrote."""
        path = self._paths[identity] / _OBSERVATION
        try:
            return Observation.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not an observation of a guard ({error!r})") from None

    def prune(self, keep: Collection[int]) -> None:
        """Delete every snapshot but these. A directory first loses its name, so that none is ever seen half deleted."""
        for identity in self.ids - frozenset(keep):
            path = self._paths.pop(identity)
            hidden = path.with_name(f".{path.name}")
            with writing(path):
                shutil.rmtree(hidden, ignore_errors=True)
                path.rename(hidden)
            shutil.rmtree(hidden, ignore_errors=True)
