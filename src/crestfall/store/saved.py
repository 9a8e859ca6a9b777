"""state.json: one commit of a chain. Private to the store; docs/run_directory.md says why a process may die at any
instant."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crestfall.core.errors import RunDirectoryError
from crestfall.store.meta import read_json


@dataclass(frozen=True)
class Saved:
    """A commit as it stands on the disk."""

    seq: int
    """Lines of the log when all of this commit are written."""
    pending: Sequence[str]
    """The lines of this commit."""
    snapshots: Mapping[str, str | None]
    """Snapshots that are still needed, and the digest of each; None: saved by a version that kept none."""
    state: Mapping[str, Any]
    """The chain's state."""

    @classmethod
    def read(cls, path: Path) -> Saved | None:
        """None where there is no file. Raises RunDirectoryError if it is damaged."""
        data = read_json(path)
        if data is None:
            return None
        try:
            seq, pending, names, state = data["seq"], data["pending"], data["snapshots"], data["state"]
            # Version 0.1 listed the names alone.
            snapshots = dict.fromkeys(names) if isinstance(names, list) else dict(names)
            sound = isinstance(seq, int) and isinstance(state, dict) and all(isinstance(line, str) for line in pending)
            sound = sound and 0 <= len(pending) <= seq
        except (KeyError, TypeError, ValueError):
            sound = False
        if not sound:
            raise RunDirectoryError(f"{path}: damaged: restore it, or start again with --out elsewhere")
        return cls(seq, pending, snapshots, state)

    def to_json(self) -> str:
        return json.dumps(
            {"seq": self.seq, "pending": self.pending, "snapshots": dict(self.snapshots), "state": self.state},
            allow_nan=False,
        )
