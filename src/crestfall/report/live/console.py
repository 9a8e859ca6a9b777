"""The live view of one run on a terminal: a row per campaign, and what happens right now below them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from crestfall.core.signals import SHOWN
from crestfall.report.live.fit import Fitting
from crestfall.report.live.plain import SCORED, PlainView
from crestfall.report.live.progress import CampaignProgress, RunProgress
from crestfall.report.live.words import decision, duration, percent, points, sparkline, verdict_mix
from crestfall.store.events import Sink

STOPPING = Text("finishing the step in flight and saving; Ctrl-C again stops at once", style="yellow")


def is_live(console: Console) -> bool:
    """Whether printed output can be redrawn in place."""
    return console.is_terminal and not console.is_dumb_terminal


def run_view(console: Console, progress: RunProgress, control: str, stopping: Callable[[], bool]) -> Sink:
    """The view that suits the console. `progress` may hold the past of a run that goes on."""
    return LiveView(console, progress, control, stopping) if is_live(console) else PlainView(console, progress)


class LiveView:
    """Redrawn twice a second by a thread of rich's, so that a long step is seen to be alive."""

    def __init__(
        self,
        console: Console,
        progress: RunProgress,
        control: str,
        stopping: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress, self._control, self._stopping, self._clock = progress, control, stopping, clock
        self._started = clock()
        self._lock, self._closed = threading.Lock(), False
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=2)
        self._live.start(refresh=True)

    def event(self, event: Mapping[str, Any]) -> None:
        with self._lock:
            self._progress.event(event)

    def close(self) -> None:
        """Leave the table of campaigns on the screen."""
        self._closed = True
        self._live.stop()

    def _render(self) -> Group:
        with self._lock:
            if self._closed:
                return Group(campaign_table(self._progress))
            lines = [*now(self._progress, self._control), clock_line(self._progress, self._clock() - self._started)]
            if self._stopping():
                lines.append(STOPPING)
            return Group(campaign_table(self._progress), *lines)


def campaign_table(progress: RunProgress) -> Fitting:
    """A row per campaign; scores on report."""
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left", title_style="bold")
    table.title = f"{progress.method}, seed {progress.seed}"
    table.add_column("campaign")
    table.add_column("pass@1", no_wrap=True, min_width=12)
    for heading in ("start", "peak", "at", "end", "gap"):
        table.add_column(heading, justify="right")
    table.add_column("kept step")
    table.add_column("final set", justify="right")
    top = max((score for c in progress.campaigns for score in c.report_S), default=1.0)
    for campaign in progress.campaigns:
        table.add_row(*_row(campaign, progress.campaigns_planned, top))
    table.caption, table.caption_style, table.caption_justify = SCORED, "dim", "left"
    return Fitting(table)


def _row(campaign: CampaignProgress, planned: int, top: float) -> list[Text | str]:
    name = f"{campaign.number + 1}/{planned}"
    if not campaign.report_S:
        return [name]
    scores = campaign.scores()
    gap = Text(points(scores["gap"]), style="red" if scores["gap"] > 0.2 else "")
    handed_on = "" if campaign.handed_on_step is None else f"step {campaign.handed_on_step}"
    return [
        name,
        curve(campaign, top),
        percent(scores["start"]),
        Text(percent(scores["peak"]), style="green"),
        str(scores["peak_step"]),
        percent(scores["end"]),
        gap,
        handed_on,
        percent(campaign.final),
    ]


def curve(campaign: CampaignProgress, top: float, width: int = 24) -> Text:
    """The sparkline of a campaign; the peak green, steps after which it was rolled back yellow."""
    text = Text(sparkline(campaign.report_S, top, width))
    first = max(0, len(campaign.report_S) - width)
    for step, style in [(campaign.peak_step, "bold green"), *((step, "yellow") for step in campaign.rollbacks)]:
        if step >= first:
            text.stylize(style, step - first, step - first + 1)
    return text


def clock_line(progress: RunProgress, elapsed: float) -> Text:
    left = progress.seconds_left()
    return Text(f"{duration(elapsed)} so far" + (f", about {duration(left)} left" if left else ""), style="dim")


def now(progress: RunProgress, control: str) -> list[Text]:
    """The lines below the table: the step in progress, the controller, the verdicts, the time."""
    event, campaign = progress.last_step, progress.campaigns[-1] if progress.campaigns else None
    if campaign is None or not event:
        return [Text("evaluating the base policy on the final set ...", style="dim")]
    if campaign.step < 0:
        doing = f"campaign {campaign.number + 1}: evaluating before the first update"
    elif event["decision"]["action"] == "stop":
        doing = f"campaign {campaign.number + 1}: scoring the last and the kept weights on the final set"
    else:
        doing = f"campaign {campaign.number + 1}: step {campaign.step + 1} of at most {campaign.budget}"
    lines = [Text(doing, style="bold"), Text(f"{control}: {decision(event)}", style="cyan")]
    if event["verdicts"]:
        lines.append(Text(f"samples: {verdict_mix(event['verdicts'])}"))
    shown = [f"{name} {event['signals'][name]:.3g}" for name in SHOWN if name in event["signals"]]
    if shown:
        lines.append(Text("signals: " + ", ".join(shown), style="dim"))
    return lines
