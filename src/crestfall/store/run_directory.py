"""A run directory, opened for training. The format is in docs/run_directory.md.

Every commit is one atomic replacement of `checkpoints/state.json`. Snapshots that a state names are complete before
it is written, its event lines are stored in it before they reach events.jsonl, and what no state names is deleted
after: so a process may die at any instant. Before the first commit there is nothing to keep: a session that fails so
early takes away what it made.
"""

from __future__ import annotations

import json
import shutil
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
from crestfall.store.layout import CHECKPOINTS, EVENTS_FILE, MEMORY_FILE, RUN_FILE, STATE_FILE, is_run, is_study
from crestfall.store.lock import Lock
from crestfall.store.meta import read_meta, read_study, reject_other_config, write_json
from crestfall.store.saved import Saved

__all__ = ["RunDirectory", "read_meta", "read_study"]

Status = Literal["running", "done", "interrupted", "failed"]
Event = Mapping[str, Any]


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
        self._digests: dict[str, str | None] = {}
        self._committed, self._begun = True, True
        self._before: set[str] = set()

    def open(
        self,
        config: Mapping[str, Any],
        provenance: Mapping[str, Any],
        patience: float = 2.0,
        today: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda old: old,
    ) -> dict[str, Any] | None:
        """Create the directory, or go on where it stands. Returns the chain state of the last commit, if there is one;
        None too where the run is `done`.

        Args:
            config: every option resolved, as plain data; what has been run here before must have the same.
            provenance: stored with a new run; where a session that goes on differs from the first, it is added.
            patience: seconds to wait for another process that holds the directory.
            today: what the configuration of an earlier version means now: with the options that it did not have.

        Raises:
            RunDirectoryError: in use, not writable, damaged, or of another configuration.
        """
        self._lock.acquire(patience)
        self._before = {entry.name for entry in self.path.iterdir()}
        try:
            return self._open(config, provenance, today)
        except BaseException:
            if self._lock.is_new:
                self._lock.withdraw()  # refused: what stands here is somebody else's
            self.close()
            raise

    def _open(
        self,
        config: Mapping[str, Any],
        provenance: Mapping[str, Any],
        today: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> dict[str, Any] | None:
        old = check_place(self.path, config, today)
        if old is not None:
            return self._continue(old, provenance)
        self._committed, self._begun = False, is_run(self.path)
        self._meta = {
            "config": config,
            "config_digest": digest(config),
            "seed": config["seed"],
            "method": config["method"],
            "provenance": provenance,
            "status": "running",
        }
        return None

    def _continue(self, meta: dict[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any] | None:
        self._meta = meta
        finished = (self._log.last() or {}).get("type") == "run_ended"
        saved = Saved.read(self.path / STATE_FILE) if not finished or meta["status"] != "done" else None
        if saved is None:
            if not finished:
                raise RunDirectoryError(
                    f"{self.path}: {EVENTS_FILE if meta['status'] == 'done' else STATE_FILE} is missing or cut, "
                    f"without which the run cannot go on: restore it, or start again with --out elsewhere; crestfall "
                    f"report still reads what is there"
                )
            self._meta["status"] = "done"
            return None
        for name, known in saved.snapshots.items():
            self._checkpoints.verify(name, known)
        for _ in self.events():  # a line that cannot be read is found here, before anything is written
            pass
        self._log.reconcile(saved.seq, saved.pending)
        self._seq, self._digests = saved.seq, dict(saved.snapshots)
        self._checkpoints.prune(saved.snapshots)
        if provenance not in [meta.get("provenance"), *meta.get("resumed_under", [])]:
            self._meta = meta | {"resumed_under": [*meta.get("resumed_under", []), provenance]}
        return dict(saved.state)

    def save(self, name: str, snapshot: Snapshot) -> None:
        """Write a snapshot. It counts from the commit that names it on."""
        self._lock.check()
        self._begin()
        self._digests[name] = self._checkpoints.save(name, snapshot)

    def load(self, name: str) -> Snapshot:
        return self._checkpoints.load(name)

    def commit(
        self, events: Sequence[Event], state: Mapping[str, Any], snapshots: Sequence[str], roles: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Make events and chain state the truth, together. Returns the events as written, `seq` and `time` included.

        `snapshots` are those that are still needed: all others are deleted. `roles` are the links to make for people.
        """
        self._lock.check()
        now = round(self._clock(), 3)
        written = [{"seq": self._seq + i, "time": now, **event} for i, event in enumerate(events)]
        lines = [json.dumps(event, allow_nan=False) for event in written]
        self._seq += len(lines)
        self._digests = {name: self._digests.get(name) for name in snapshots}
        saved = Saved(self._seq, lines, self._digests, state)
        self._begin()
        with writing(self.path):
            (self.path / STATE_FILE).parent.mkdir(exist_ok=True)
        write_atomic(self.path / STATE_FILE, saved.to_json())
        self._committed = True
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
        self._write_meta()

    def set_status(self, status: Status, error: str | None = None) -> None:
        self._meta = {key: value for key, value in self._meta.items() if key != "error"} | {"status": status}
        if error is not None:
            self._meta["error"] = error
        self._write_meta()

    def _begin(self) -> None:
        """Write run.json, if that has been put off: a session that fails before it has anything to keep leaves none."""
        if not self._begun:
            self._begun = True
            self._write_meta()

    def _write_meta(self) -> None:
        if self._begun:
            self._lock.check()
            write_json(self.path / RUN_FILE, self._meta)

    def _withdraw(self) -> None:
        """Take away what a session without a commit has made."""
        made = {entry.name for entry in self.path.iterdir()} - self._before
        for name in made | {RUN_FILE, CHECKPOINTS}:
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    @property
    def status(self) -> Status:
        status: Status = self._meta["status"]
        return status

    def events(self) -> Iterator[dict[str, Any]]:
        return read_events(self.path / EVENTS_FILE)

    def close(self) -> None:
        if self._committed or not self._lock.holds():
            self._lock.release()
        else:
            self._committed = True
            if self._meta:
                self._withdraw()
            self._lock.withdraw()

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def check_place(
    path: Path, config: Mapping[str, Any], today: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda old: old
) -> dict[str, Any] | None:
    """Check that a run of this configuration may continue, or begin, in a directory. Returns the run.json of a run that
    continues, None for one that begins. See `RunDirectory.open`.

    Raises:
        RunDirectoryError: the directory holds something else, or a run of another configuration.
    """
    old = read_meta(path)
    if old is None:
        _reject_other_things(path)
        return None
    if nothing_committed(path):
        return None
    reject_other_config(path, today(old["config"]), config)
    return old


def nothing_committed(path: Path) -> bool:
    """Whether this run directory has a run.json and no commit yet, so that a run of another configuration may take its
    place."""
    meta = read_meta(path)
    return (
        meta is not None
        and meta["status"] != "done"
        and EventLog(path / EVENTS_FILE).empty()
        and not (path / STATE_FILE).exists()
        and Checkpoints(path / CHECKPOINTS).only_begun()
    )


def _reject_other_things(path: Path) -> None:
    if is_study(path):
        raise RunDirectoryError(f"{path}: holds a study; choose another directory with --out")
    if (path / EVENTS_FILE).exists():
        raise RunDirectoryError(
            f"{path}: holds {EVENTS_FILE} and no {RUN_FILE}: restore that file, or choose another directory with --out"
        )
    try:
        others = [entry.name for entry in path.iterdir() if not entry.name.startswith(".")]
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be written: {error.strerror or error}") from None
    if others:
        raise RunDirectoryError(f"{path}: not empty and not a run directory; choose another with --out")
