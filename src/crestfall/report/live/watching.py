"""Display of `crestfall watch`: a table that is redrawn on a terminal, a line per change elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from crestfall.analysis.watch.monitor import View
from crestfall.report.live.console import is_live
from crestfall.report.live.words import duration, sparkline


class Screen:
    """Live on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if is_live(console) else None
        self._before: dict[str, str] = {}
        if self._live is not None:
            self._live.start()

    def show(self, views: Sequence[View], quiet: Sequence[float | None], waiting: Sequence[str]) -> None:
        """`quiet`: seconds since each run's log was last written to. `waiting`: what is waited for."""
        if self._live is not None:
            notes = [Text(f"waiting: {line}", style="dim") for line in waiting]
            self._live.update(Group(_table(views, quiet), *notes), refresh=True)
            return
        for view in views:
            self._once(view.key, _line(view))
        for line in waiting:
            self._once(line, f"waiting: {line}")

    def say(self, line: str, style: str = "") -> None:
        """A line that stays, above the table."""
        self._console.print(Text(line, style=style), soft_wrap=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _once(self, key: str, line: str) -> None:
        if self._before.get(key) != line:
            self._before[key] = line
            self.say(line)


def _line(view: View) -> str:
    best = f"best {number(view.smooth_S[view.best])} at step {view.steps_S[view.best]}"
    last = f"step {view.steps_S[-1]}: {number(view.values_S[-1])}"
    if not view.noise_known:
        last += f" (smoothed {number(view.smooth_S[-1])})"
    return f"{view.name}: {view.metric}, {last}, {best}; {verdict(view)}"


def _table(views: Sequence[View], quiet: Sequence[float | None]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("run", "metric", "curve"):
        table.add_column(heading)
    for heading in ("step", "last", "smoothed", "best", "at step", "written"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("the test says")
    for view, seconds in zip(views, quiet, strict=True):
        low = min(0.0, float(view.smooth_S.min()))
        shown = [float(v) - low for v in view.smooth_S]
        table.add_row(
            Text(view.name),
            Text(view.metric),
            sparkline(shown, max(shown), 20),
            str(view.steps_S[-1]),
            number(view.values_S[-1]),
            number(view.smooth_S[-1]),
            number(view.smooth_S[view.best]),
            str(view.steps_S[view.best]),
            "" if seconds is None else f"{duration(seconds)} ago",
            Text(verdict(view), style="bold red" if view.alarm else "yellow" if view.waits else "green"),
        )
    return table


def verdict(view: View) -> str:
    """The controller's verdict on a run, in a few words."""
    if view.alarm is not None:
        decision = view.alarm.decision
        what = view.alarm.what if decision.action == "continue" else decision.action.replace("rollback", "roll back")
        where = "" if decision.target_step is None else f" (to step {decision.target_step})"
        return f"{what}{where}, seen at step {view.alarm.step}: {decision.reason.removeprefix('alert: ')}"
    if view.waits:
        return f"not tested: {view.waits}"
    about = "" if view.noise_known else ", noise estimated"
    return "no fall" + ("" if view.p_value is None else f" (anytime p-value {view.p_value:.2g}{about})")


def number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}"
