"""A run directory: the one place that knows its file names. The format is in docs/run_directory.md.

Every commit is one atomic replacement of `checkpoints/state.json`. Snapshots that a state names are complete before
it is written, its event lines are stored in it before they reach events.jsonl, and what no state names is deleted
after: so a process may die at any instant.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from crestfall.core.errors import RunDirectoryError
from crestfall.core.types import Snapshot
from crestfall.store.checkpoints import Checkpoints
from crestfall.store.events import EventLog, read_events
from crestfall.store.files import digest, write_atomic, writing
from crestfall.store.lock import Lock

Status = Literal["running", "done", "interrupted", "failed"]
Event = Mapping[str, Any]

CHECKPOINTS = "checkpoints"
RUN_FILE, EVENTS_FILE, STATE_FILE = "run.json", "events.jsonl", f"{CHECKPOINTS}/state.json"
MEMORY_FILE = "memory.json"
STUDY_FILE, CELLS = "study.json", "cells"


class RunDirectory:
    """A run directory opened for training. Use as a context manager: it is locked while it is open."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._lock = Lock(path)
        self._log = EventLog(path / EVENTS_FILE)
        self._checkpoints = Checkpoints(path / CHECKPOINTS)
        self._meta: dict[str, Any] = {}
        self._seq = 0

    def open(
        self, config: Mapping[str, Any], provenance: Mapping[str, Any], patience: float = 2.0
    ) -> dict[str, Any] | None:
        """Create the directory, or go on where it stands. Returns the chain state of the last commit, if there is one.

        Args:
            config: every option resolved, as plain data; what has been run here before must have the same.
            provenance: stored with a new run; where a session that goes on differs from the first, it is added.
            patience: seconds to wait for another process that holds the directory.

        Raises:
            RunDirectoryError: in use, not writable, or of another configuration.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self._lock.acquire(patience)
        try:
            return self._open(config, provenance)
        except BaseException:
            self._lock.release()
            raise

    def _open(self, config: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any] | None:
        old = read_meta(self.path)
        if old is None:
            if any(not entry.name.startswith(".") for entry in self.path.iterdir()):
                raise RunDirectoryError(f"{self.path}: not empty and not a run directory; choose another with --out")
            self._meta = {
                "config": config,
                "config_digest": digest(config),
                "seed": config["seed"],
                "method": config["method"],
                "provenance": provenance,
                "status": "running",
            }
        else:
            reject_other_config(self.path, old["config"], config)
            self._meta = old
            if provenance not in [old["provenance"], *old.get("resumed_under", [])]:
                self._meta = old | {"resumed_under": [*old.get("resumed_under", []), provenance]}
        saved = _read_json(self.path / STATE_FILE)
        if saved is None:
            self._log.reconcile(0, [])
            return None
        self._seq = saved["seq"]
        self._log.reconcile(self._seq, saved["pending"])
        self._checkpoints.prune(saved["snapshots"])
        state: dict[str, Any] = saved["state"]
        return state

    def save(self, name: str, snapshot: Snapshot) -> None:
        """Write a snapshot. It counts from the commit that names it on."""
        self._checkpoints.save(name, snapshot)

    def load(self, name: str) -> Snapshot:
        return self._checkpoints.load(name)

    def commit(
        self, events: Sequence[Event], state: Mapping[str, Any], snapshots: Sequence[str], roles: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Make events and chain state the truth, together. Returns the events as written, `seq` and `time` included.

        `snapshots` are those that are still needed: all others are deleted. `roles` are the links to make for people.
        """
        now = round(self._clock(), 3)
        written = [{"seq": self._seq + i, "time": now, **event} for i, event in enumerate(events)]
        lines = [json.dumps(event, allow_nan=False) for event in written]
        self._seq += len(lines)
        saved = {"seq": self._seq, "pending": lines, "snapshots": list(snapshots), "state": state}
        with writing(self.path):
            (self.path / STATE_FILE).parent.mkdir(exist_ok=True)
        write_atomic(self.path / STATE_FILE, json.dumps(saved, allow_nan=False))
        self._log.append(lines)
        self._checkpoints.point(roles)
        self._checkpoints.prune(snapshots)
        return written

    def write_memory(self, memory: Mapping[str, Any]) -> None:
        """Replace memory.json: what a chain controller has learnt, for another chain to start with."""
        write_json(self.path / MEMORY_FILE, memory)

    def note_origin(self, facts: Mapping[str, Any]) -> None:
        """Record in run.json which other run's weights this one starts from."""
        self._meta = self._meta | {"start_from": facts}
        write_json(self.path / RUN_FILE, self._meta)

    def set_status(self, status: Status, error: str | None = None) -> None:
        self._meta = {key: value for key, value in self._meta.items() if key != "error"} | {"status": status}
        if error is not None:
            self._meta["error"] = error
        write_json(self.path / RUN_FILE, self._meta)

    @property
    def status(self) -> Status:
        status: Status = self._meta["status"]
        return status

    def events(self) -> Iterator[dict[str, Any]]:
        return read_events(self.path / EVENTS_FILE)

    def close(self) -> None:
        self._lock.release()

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def read_meta(path: Path) -> dict[str, Any] | None:
    """run.json of a run directory, None where there is none. Raises RunDirectoryError if it is broken."""
    return _read_json(path / RUN_FILE)


def read_study(path: Path) -> dict[str, Any] | None:
    """study.json of a study's directory, None where there is none. Raises RunDirectoryError if it is broken."""
    return _read_json(path / STUDY_FILE)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Replace a JSON file for people and machines alike, making its directory where there is none."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def reject_other_config(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raises RunDirectoryError that names the first keys at which a directory's configuration differs, and the ways
    out."""
    keys = differences(old, new)
    if keys:
        more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
        raise RunDirectoryError(
            f"{path}: holds a run of another configuration ({'; '.join(keys[:3])}{more}); choose another directory "
            f"with --out, give the old values, or delete it"
        )


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """The dotted keys at which two resolved configurations differ, as `key: old -> new`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        out = []
        for key in dict.fromkeys([*old, *new]):
            out += differences(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
        return out
    return [] if old == new else [f"{where}: {old!r} -> {new!r}"]


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RunDirectoryError(f"{path}: cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise RunDirectoryError(f"{path}: expected a JSON object")
    return data
