"""A study on a terminal: a row per cell while it runs, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from crestfall.core.build import plain
from crestfall.core.errors import CrestfallError, InputError
from crestfall.report.live.console import STOPPING, curve, is_live
from crestfall.report.live.fit import Fitting
from crestfall.report.live.plain import SCORED
from crestfall.report.live.progress import CampaignProgress, RunProgress
from crestfall.report.live.words import duration, percent, points
from crestfall.store.events import Tail
from crestfall.store.layout import EVENTS_FILE
from crestfall.store.meta import read_meta
from crestfall.testbed.study import STOPPED, Cell

_STYLES = {
    "done": "green",
    "running": "bold",
    "failed": "red",
    "interrupted": "yellow",
    "waiting": "dim",
    "damaged": "red",
}
_SIGTERM = -15


@dataclass
class RunRow:
    """State of one run as seen from outside its process."""

    path: Path
    progress: RunProgress
    tail: Tail
    status: str = "waiting"
    error: str | None = None
    damage: str | None = None
    """Message on a part of the run's directory that cannot be read; None if all is readable."""

    def look(self) -> None:
        """Read on in its run directory."""
        with self.marking_damage():
            self.progress.read(self.tail.new(), self.path / EVENTS_FILE)
            if self.tail.damage is not None:
                raise InputError(self.tail.damage)

    @contextmanager
    def marking_damage(self) -> Iterator[None]:
        """A run that cannot be read is shown as damaged: the others of its study can."""
        try:
            yield
        except CrestfallError as error:
            self.damage = str(error)
        except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
            self.damage = f"{self.path}: a field is missing or garbled: {error!r}"
        if self.damage is not None:
            self.status = "damaged"

    @classmethod
    def of(cls, cell: Cell) -> RunRow:
        return cls(cell.path, RunProgress.of(plain(cell.config)), Tail(cell.path / EVENTS_FILE))

    @property
    def name(self) -> str:
        return f"{self.progress.method}/seed-{self.progress.seed}"

    @property
    def finished(self) -> list[CampaignProgress]:
        return [campaign for campaign in self.progress.campaigns if campaign.stopped_by is not None]


class StudyView:
    """Watches the cells of a study (see `crestfall.testbed.study.Watcher`) and shows them."""

    def __init__(
        self,
        console: Console,
        cells: Sequence[Cell],
        workers: int,
        stopping: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rows = [RunRow.of(cell) for cell in cells]
        self._by_name = {cell.name: row for cell, row in zip(cells, self.rows, strict=True)}
        self._console, self._workers, self._stopping, self._clock = console, workers, stopping, clock
        self._started = self._drawn = clock()
        for cell, row in zip(cells, self.rows, strict=True):
            row.look()
            row.status = "done" if cell.done() else "waiting"
        self._live = Live(self._render(), console=console, auto_refresh=False) if is_live(console) else None
        if self._live is not None:
            self._live.start(refresh=True)

    def started(self, cell: Cell) -> None:
        self._by_name[cell.name].status = "running"
        self._say(f"{cell.name}: started")

    def ended(self, cell: Cell, code: int) -> None:
        row = self._by_name[cell.name]
        row.look()
        row.status = {0: "done", STOPPED: "interrupted", _SIGTERM: "interrupted"}.get(code, "failed")
        if row.status == "failed":
            row.error = why(cell, code)
        ending = f", final set {percent(row.progress.end_of_chain)}" if row.status == "done" else ""
        self._say(f"{cell.name}: {row.status}{ending}{f': {row.error}' if row.error else ''}")

    def tick(self) -> None:
        for row in self.rows:
            if row.status == "running":
                before = len(row.finished)
                row.look()
                for campaign in row.finished[before:]:
                    self._say(f"{row.name}: {campaign_line(campaign, row.progress.campaigns_planned)}")
        if self._live is not None and self._clock() - self._drawn > 0.5:
            self._drawn = self._clock()
            self._live.update(self._render(), refresh=True)

    def close(self) -> None:
        """Leave the table on the screen."""
        if self._live is not None:
            self._live.update(run_table(self.rows), refresh=True)
            self._live.stop()
        else:
            self._console.print(run_table(self.rows))

    def seconds_left(self) -> float | None:
        """A guess: the cells not yet started take as long as those that have."""
        known = [left for row in self.rows if row.status == "running" and (left := row.progress.seconds_left())]
        paces = [sum(r.progress.step_seconds) + sum(r.progress.final_seconds) for r in self.rows if r.progress.ended]
        waiting = sum(row.status == "waiting" for row in self.rows)
        if not known or (waiting and not paces):
            return None
        later = waiting * sum(paces) / len(paces) if paces else 0.0
        return max(max(known), (sum(known) + later) / self._workers)

    def _render(self) -> Group:
        left = self.seconds_left()
        times = f"{duration(self._clock() - self._started)} so far" + (f", about {duration(left)} left" if left else "")
        lines = [count_line(self.rows), Text(times, style="dim")]
        if self._stopping():
            lines.append(STOPPING)
        return Group(run_table(self.rows), *lines)

    def _say(self, line: str) -> None:
        if self._live is None:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def count_line(rows: Sequence[RunRow]) -> Text:
    failed = sum(row.status == "failed" for row in rows)
    done = sum(row.status == "done" for row in rows)
    return Text(f"{done} of {len(rows)} cells done{f', {failed} failed' if failed else ''}", style="bold")


def campaign_line(campaign: CampaignProgress, planned: int) -> str:
    scores = campaign.scores()
    return (
        f"campaign {campaign.number + 1}/{planned}  start {percent(scores['start'])}  peak {percent(scores['peak'])} "
        f"at {scores['peak_step']}  end {percent(scores['end'])}  final set {percent(campaign.final)}"
    )


def run_table(rows: Sequence[RunRow]) -> Fitting:
    """A row per run. The curve (its latest steps) and its numbers are of the latest campaign, on report."""
    # One space between columns: eleven of them have to fit into 80.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for heading in ("method", "seed", "status", "campaign", "step", "pass@1"):
        table.add_column(heading, no_wrap=True)
    for heading in ("peak", "at", "now", "gap", "final"):
        table.add_column(heading, justify="right", no_wrap=True)
    top = max((score for row in rows for c in row.progress.campaigns for score in c.report_S), default=1.0)
    for row in rows:
        table.add_row(*_cells(row, top))
    table.caption, table.caption_style, table.caption_justify = SCORED, "dim", "left"
    return Fitting(table)


def _cells(row: RunRow, top: float) -> list[Text | str]:
    progress, campaign = row.progress, row.progress.current
    status = Text("stopped" if row.status == "interrupted" else row.status, style=_STYLES[row.status])
    head: list[Text | str] = [progress.method, str(progress.seed), status]
    if campaign is None:
        return head
    scores = campaign.scores()
    return [
        *head,
        f"{campaign.number + 1}/{progress.campaigns_planned}",
        f"{campaign.step}/{campaign.budget}",
        curve(campaign, top, width=14),
        Text(percent(scores["peak"]), style="green"),
        str(scores["peak_step"]),
        percent(scores["end"]),
        Text(points(scores["gap"]), style="red" if scores["gap"] > 0.2 else ""),
        percent(progress.end_of_chain if progress.end_of_chain is not None else progress.final_start),
    ]


def why(cell: Cell, code: int) -> str:
    """Reason in one line why a cell failed: its recorded error, or the last line of its log."""
    meta = read_meta(cell.path)
    if meta is not None and meta.get("status") == "failed" and "error" in meta:
        reason = str(meta["error"])
    elif code < 0:
        reason = f"killed by signal {-code}"
    else:
        reason = last_line(cell.log).removeprefix("crestfall: ") or f"exit code {code}"
    return f"{reason} (log: {cell.log})"


def last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
