"""Ways to tell somebody, for `Guard(notify=[...])` and `CrestfallCallback(notify=[...])`.

Each is called with a decision and the step it was made at, returns at once and raises nothing that could end a run.
"""

from __future__ import annotations

import atexit
import json
import logging
import queue
import sys
import threading
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TextIO
from urllib.parse import urlsplit

from crestfall.core.errors import ConfigError
from crestfall.core.extras import require
from crestfall.core.types import Decision

_log = logging.getLogger("crestfall")
_WAITING = 100
"""Messages that may wait for a slow webhook; beyond that the newest are dropped."""


def message(decision: Decision, step: int) -> str:
    """Text of an alert in one line."""
    what: str = "alert" if decision.action == "continue" else decision.action
    what = decision.changes if decision.changes_training else what
    where = f" to step {decision.target_step}" if decision.action == "rollback" else ""
    reason = decision.reason.removeprefix("alert: ")
    return f"crestfall: {what}{where} at step {step}: {reason}"


class Console:
    """A line on stderr."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file

    def __call__(self, decision: Decision, step: int) -> None:
        print(message(decision, step), file=self._file or sys.stderr, flush=True)


class Background(ABC):
    """Sends from a thread of its own. What fails costs a line in the log. At the end of the process what is still
    waiting gets one more `timeout` seconds."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._queue: queue.Queue[tuple[Decision, int]] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None

    @abstractmethod
    def send(self, decision: Decision, step: int) -> None:
        """Send it now. Raises OSError that says, without any password, what went wrong and where."""

    def __call__(self, decision: Decision, step: int) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="crestfall-alerts", daemon=True)
            self._thread.start()
            atexit.register(self.flush)
        try:
            self._queue.put_nowait((decision, step))
        except queue.Full:
            _log.warning("%d alerts are waiting already, this one is dropped", _WAITING)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything has been sent (or given up), up to `timeout` seconds; has it?"""
        with self._queue.all_tasks_done:
            return self._queue.all_tasks_done.wait_for(
                lambda: not self._queue.unfinished_tasks, self._timeout if timeout is None else timeout
            )

    def _work(self) -> None:
        while True:
            try:
                self.send(*self._queue.get())
            except Exception as error:
                _log.warning("%s", error)
            finally:
                self._queue.task_done()


class Webhook(Background):
    """POSTs JSON to a URL: `text` (what Slack and Mattermost show), `step`, and the decision."""

    def __init__(self, url: str, *, timeout: float = 5.0, headers: Mapping[str, str] | None = None) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ConfigError(f"webhook: expected a http(s) URL, found {url!r}")
        super().__init__(timeout)
        self._url, self._headers = url, {"Content-Type": "application/json", **(headers or {})}

    def send(self, decision: Decision, step: int) -> None:
        body: dict[str, Any] = {"text": message(decision, step), "step": step, **decision.to_json()}
        try:
            request = urllib.request.Request(self._url, json.dumps(body).encode(), self._headers, method="POST")
            with urllib.request.urlopen(request, timeout=self._timeout):
                pass
        except Exception as error:
            # The host alone: the path of a webhook is its password.
            raise OSError(f"webhook at {urlsplit(self._url).hostname}: {error}") from None


class Apprise(Background):
    """Desktop, mail, Slack, Telegram and some hundred others, by apprise's URLs (`mailto://...`, `dbus://`): extra
    `notify`.

    Raises:
        MissingExtraError: apprise is not installed.
        ConfigError: a URL that apprise does not know.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        require("apprise")
        import apprise

        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it would say the same again, with the URL's password
        self._services = apprise.Apprise()
        for url in urls:
            if not self._services.add(url):
                raise ConfigError(f"notify: apprise knows no service for {url.partition('://')[0]}://...")
        super().__init__(timeout=10.0)

    def send(self, decision: Decision, step: int) -> None:
        try:
            sent = self._services.notify(body=message(decision, step), title="crestfall")
        except Exception as error:
            raise OSError(f"notify: {type(error).__name__}") from None
        if not sent:
            raise OSError("notify: a service did not take the message")


class WandbAlert:
    """An alert in a W&B run: `WandbAlert(wandb.run)`."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def __call__(self, decision: Decision, step: int) -> None:
        text = message(decision, step)
        self._run.alert(title=text[:63], text=text)


class TrackioAlert:
    """An alert in a trackio run, by default the current one."""

    def __init__(self, run: Any = None) -> None:
        self._run = run

    def __call__(self, decision: Decision, step: int) -> None:
        if self._run is not None:
            self._run.alert(message(decision, step))
            return
        import trackio

        trackio.alert(message(decision, step))
