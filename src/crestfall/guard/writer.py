"""Disk work beside the training loop: in order, bounded in memory, and never lost by an orderly end of the process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

Job = Callable[[], object]


class Writer:
    """Runs jobs one after the other in a thread that lives while there are any.

    The thread is no daemon: the interpreter waits for it at the end. An error does not stop what comes after it; the
    errors wait for `errors`.
    """

    def __init__(self) -> None:
        self._jobs: deque[tuple[Job, bool]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._errors: list[Exception] = []
        self._large = 0

    def submit(self, job: Job, *, large: bool = False) -> None:
        """Have a job done. A `large` one, which holds a snapshot in memory, first waits until no other is at work."""
        with self._changed:
            if large:
                self._changed.wait_for(lambda: self._large == 0)
                self._large += 1
            self._jobs.append((job, large))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="crestfall-guard-writer")
                self._thread.start()

    def wait(self) -> None:
        """Until everything that was submitted is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._thread is None)

    def errors(self) -> list[Exception]:
        """Errors since the last call."""
        with self._changed:
            out, self._errors = self._errors, []
        return out

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._jobs:
                    self._thread = None
                    self._changed.notify_all()
                    return
                job, large = self._jobs.popleft()
            try:
                job()
            except Exception as error:
                with self._changed:
                    self._errors.append(error)
            del job
            with self._changed:
                self._large -= large
                self._changed.notify_all()
