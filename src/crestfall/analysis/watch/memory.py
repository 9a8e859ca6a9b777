"""State of a watch that survives a kill: one small file per run."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crestfall.analysis.watch.stretch import Past
from crestfall.core.errors import InputError
from crestfall.store.files import write_atomic, writing


class Memory:
    """The file of one run. Every change is made under a lock, on what stands there: two watches may share it."""

    def __init__(self, directory: Path, key: str) -> None:
        name = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:20]  # paths need not be UTF-8
        self.path = directory / f"{name}.json"
        self._key = key

    def past(self) -> Past:
        """Raises InputError for a file that is none of ours."""
        data = self._read()
        try:
            return Past.from_json(data["past"]) if "past" in data else Past()
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{self.path}: not a state of crestfall watch; delete it") from None

    def remember(self, past: Past) -> None:
        with self._changing() as data:
            data["past"] = past.to_json()

    def tell(self, stretch: int) -> bool:
        """Mark the fall in this stretch as reported. Returns False if it had been reported before."""
        with self._changing() as data:
            first = bool(stretch > data.get("told", -1))
            data["told"] = max(stretch, data.get("told", -1))
        return first

    def claim(self, command: str, step: int) -> str | None:
        """The right to run a command, which is given once for a run: None. Else why not.

        It is on the disk before the command begins: a watch that is killed in between does not run it twice.
        """
        with self._changing() as data:
            before = data.setdefault("ran", {}).get(command)
            if before is None:
                data["ran"][command] = {"step": step, "done": False}
                return None
        when = f"at step {before['step']}"
        again = f"to arm it again, delete {self.path}"
        if before["done"]:
            return f"has run already, {when} ({again})"
        return f"was started {when} by a watch that then ended: whether it ran to its end is not known ({again})"

    def done(self, command: str) -> None:
        with self._changing() as data:
            data["ran"][command]["done"] = True

    def _read(self) -> dict[str, Any]:
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path}: not a state of crestfall watch ({error}); delete it") from None
        if not isinstance(data, dict):
            raise InputError(f"{self.path}: not a state of crestfall watch; delete it")
        return data

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.with_suffix(".lock").open("a") as lock:
                fcntl.lockf(lock, fcntl.LOCK_EX)
                data = self._read()
                before = json.dumps(data)
                data["key"] = self._key
                yield data
                if json.dumps(data) != before:
                    write_atomic(self.path, json.dumps(data) + "\n")
