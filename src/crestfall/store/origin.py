"""Another run's weights, to start a chain from: `RUN`, or `RUN@last`, `RUN@best`, `RUN@handed_on`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crestfall.core.errors import ConfigError, CrestfallError
from crestfall.core.types import Snapshot
from crestfall.store.checkpoints import Checkpoints
from crestfall.store.layout import CHECKPOINTS, STATE_FILE
from crestfall.store.meta import read_meta
from crestfall.store.saved import Saved

ROLES = ("handed_on", "last", "best")


@dataclass(frozen=True)
class Origin:
    """A run directory, and what people call one of its snapshots."""

    run: Path
    role: str

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Raises ConfigError: no such role."""
        run, at, role = text.rpartition("@")
        if not at:
            run, role = text, ROLES[0]
        if role not in ROLES or not run:
            raise ConfigError(f"start_from: expected RUN or RUN@ROLE with ROLE one of {', '.join(ROLES)}, got {text!r}")
        return cls(Path(run), role)

    def facts(self) -> dict[str, Any]:
        """The origin of the weights, for the record.

        Raises:
            ConfigError: no such run, or no such snapshot of it.
        """
        try:
            meta = read_meta(self.run)
        except CrestfallError as error:
            raise ConfigError(f"chain.start_from: {error}") from None
        if meta is None:
            raise ConfigError(f"chain.start_from: {self.run}: not a run directory (no run.json there)")
        root = self.run / CHECKPOINTS
        try:
            snapshot = os.readlink(root / self.role)
        except OSError:
            there = ", ".join(role for role in ROLES if (root / role).is_symlink()) or "none"
            raise ConfigError(f"chain.start_from: {self.run} has no checkpoint {self.role}; there: {there}") from None
        known = {key: meta.get(key) for key in ("method", "seed", "config_digest", "status")}
        return {"run": str(self.run), "role": self.role, "snapshot": snapshot, **known}

    def load(self, like: Snapshot) -> Snapshot:
        """The weights, to be taken by an engine that holds weights `like` these.

        Raises:
            ConfigError: they cannot be read, or belong to another policy.
        """
        name = self.facts()["snapshot"]
        try:
            checkpoints, saved = Checkpoints(self.run / CHECKPOINTS), Saved.read(self.run / STATE_FILE)
            snapshot = checkpoints.load(name)
            checkpoints.verify(name, None if saved is None else saved.snapshots.get(name))
        except CrestfallError as error:
            raise ConfigError(f"chain.start_from: {error}") from None
        mine, theirs = _shapes(like), _shapes(snapshot)
        if mine != theirs:
            odd = next(key for key in (*mine, *theirs) if mine.get(key) != theirs.get(key))
            raise ConfigError(
                f"chain.start_from: {self.run} holds weights of another policy "
                f"({odd}: {theirs.get(odd, 'absent')} there, {mine.get(odd, 'absent')} here)"
            )
        return {"policy": snapshot["policy"]}


def _shapes(snapshot: Snapshot) -> dict[str, tuple[int, ...]]:
    return {f"policy/{name}": tuple(value.shape) for name, value in snapshot.get("policy", {}).items()}
