"""One round of `crestfall watch`: read the log, classify, display, notify, run the command, keep the checkpoint."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console

from crestfall.analysis.importers.names import told_apart
from crestfall.analysis.trajectory import Trajectory
from crestfall.analysis.watch.follow import Follower
from crestfall.analysis.watch.keep import Keeper
from crestfall.analysis.watch.memory import Memory
from crestfall.analysis.watch.monitor import Alarm, Monitor, View, key_in
from crestfall.control.base import Controller
from crestfall.core.errors import ConfigError, RunDirectoryError
from crestfall.core.types import Decision
from crestfall.report.live.alerts import Apprise, Background, Webhook, message
from crestfall.report.live.watch_page import PageServer, page
from crestfall.report.live.watching import Screen, number, verdict

PATIENCE = 10.0
"""Seconds that a command is waited for; then the watch goes on, and so does the command."""


class Watch:
    """A context manager: the live view and the page end with it."""

    def __init__(
        self,
        args: argparse.Namespace,
        paths: Sequence[str],
        metrics: Sequence[str] | None,
        controller: Controller,
        state: Path,
        console: Console,
    ) -> None:
        self.views: list[View] = []
        self._args, self._controller, self._state = args, controller, state
        self._follower = Follower(paths, metrics, args.samples)
        self._monitors: dict[str, Monitor] = {}
        self._keeper = None if args.keep is None else Keeper(args.keep, args.keep_best, args.keep_copy)
        self._tell: list[Callable[[Decision, int], None]] = []
        if args.webhook:
            self._tell.append(Webhook(args.webhook))
        if args.notify:
            self._tell.append(Apprise(args.notify))
        self._lines: set[str] = set()
        self._not_kept: dict[str, str] = {}
        if args.port is not None and not 0 <= args.port <= 65535:
            raise ConfigError(f"--port {args.port}: expected a number from 0 to 65535")
        self._server = PageServer(args.host, args.port) if args.serve else None
        self._screen = Screen(console)

    def __enter__(self) -> Watch:
        rate = getattr(self._controller, "alpha", None)
        about = (
            f"{self._controller.name}: false alarms in at most {rate:.2g} of runs, however often it looks"
            if rate is not None
            else f"{self._controller.name} states no false-alarm rate"
        )
        self._screen.say(about, "dim")
        if self._server is not None:
            self._screen.say(f"page     {self._server.url}")
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._screen.close()
        if self._server is not None:
            self._server.close()
        for tell in self._tell:
            if isinstance(tell, Background):
                tell.flush()

    @property
    def waiting(self) -> list[str]:
        return [
            one.waiting if one.waiting.startswith(one.path) else f"{one.path}: {one.waiting}"
            for one in self._follower.followed
            if one.waiting
        ]

    @property
    def refused(self) -> list[str]:
        return [one.waiting for one in self._follower.followed if one.refused]

    def look(self) -> None:
        """Read all paths once, and update the display."""
        if self._follower.look():
            runs: dict[str, Trajectory] = {}
            for one in self._follower.followed:
                for run in one.runs:
                    runs.setdefault(key_in(self._state, run), run)
            named = told_apart(list(runs.values()))
            seen = [self._judged(key, run) for key, run in zip(runs, named, strict=True)]
            self._shown = [(view, run) for view, run in zip(seen, named, strict=True) if view is not None]
            self.views = [view for view, _ in self._shown]
        for view in self.views:
            if view.alarm is not None:
                self._fallen(view, view.alarm)
            if self._keeper is not None:
                for line in self._keeper.look(view):
                    self._say_once(f"{view.name}: {line}")
                self._not_kept.pop(view.key, None)
                if self._keeper.failed is not None:
                    self._not_kept[view.key] = f"{view.name}: {self._keeper.failed}"
        quiet = [self._follower.quiet(run) for _, run in self._shown]
        self._screen.show(self.views, quiet, self.waiting)
        if self._server is not None:
            self._server.update(page(self.views, self.waiting, self._args.interval))

    _shown: Sequence[tuple[View, Trajectory]] = ()

    def sum_up(self, interrupted: bool) -> None:
        """Summary, one line for each run."""
        if interrupted or not self.views:
            if interrupted:
                self._screen.say(f"interrupted; {len(self.views)} runs had been seen")
            for view in self.views:
                best = f"best {number(view.smooth_S[view.best])} at step {view.steps_S[view.best]}"
                self._screen.say(f"{view.name}: {len(view.steps_S)} points, {best}; {verdict(view)}")

    def result(self) -> dict[str, Any]:
        return {
            "runs": [view.to_json() for view in self.views],
            "fell": any(view.alarm is not None for view in self.views),
            "waiting": self.waiting,
            "not_kept": sorted(self._not_kept.values()),
        }

    def _judged(self, key: str, run: Trajectory) -> View | None:
        if key not in self._monitors:
            self._monitors[key] = Monitor(key, self._controller, Memory(self._state, key))
        try:
            return self._monitors[key].take(run, self._follower.settled(run))
        except RunDirectoryError as error:
            raise ConfigError(f"{error}; choose another directory with --state DIR") from error

    def _fallen(self, view: View, alarm: Alarm) -> None:
        text = f"{view.name}: {message(alarm.decision, alarm.step)}"
        if text in self._lines:
            return
        self._say_once(text, "bold red")
        if (choice := view.best_saved()).take is not None:
            self._say_once(f"{view.name}: take {choice.lines()[0]}")
        if view.news:
            for tell in self._tell:
                tell(alarm.decision, alarm.step)
        if self._args.exec:
            self._execute(view, alarm, self._args.exec)

    def _execute(self, view: View, alarm: Alarm, command: str) -> None:
        memory = self._monitors[view.key].memory
        why_not = memory.claim(command, alarm.step)
        if why_not is not None:
            self._say_once(f"{view.name}: --exec {command}: {why_not}")
            return
        facts = {
            "RUN": view.name,
            "PATH": str(view.source),
            "METRIC": view.metric,
            "STEP": str(alarm.step),
            "BEST_STEP": str(view.steps_S[view.best]),
            "REASON": alarm.decision.reason,
        }
        env = os.environ | {f"CRESTFALL_{name}": value for name, value in facts.items()}
        # A session of its own: Ctrl-C on the watch does not end what it has started.
        child = subprocess.Popen(
            command, shell=True, env=env, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), start_new_session=True
        )
        memory.done(command)
        try:
            code = child.wait(PATIENCE)
            self._say_once(f"{view.name}: --exec {command}: ended with exit code {code}")
        except subprocess.TimeoutExpired:
            self._say_once(f"{view.name}: --exec {command}: goes on (process {child.pid}), started {time.ctime()}")

    def _say_once(self, line: str, style: str = "") -> None:
        if line not in self._lines:
            self._lines.add(line)
            self._screen.say(line, style)
