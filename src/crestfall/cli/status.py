"""`crestfall status DIR [--watch]`: how far a run or study is, from what stands in its directory."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from crestfall.cli.common import console_of
from crestfall.cli.study_view import RunRow, count_line, last_line, run_table
from crestfall.core.errors import InputError
from crestfall.report.live.console import campaign_table, now
from crestfall.report.live.progress import RunProgress
from crestfall.report.live.words import duration
from crestfall.store.events import Tail
from crestfall.store.layout import EVENTS_FILE, RUN_FILE, cell_log
from crestfall.store.lock import Lock
from crestfall.store.meta import read_meta, read_study

EXAMPLE = "crestfall status runs/two --watch"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", metavar="DIR", type=Path, help="a run's or a study's directory")
    parser.add_argument("--watch", action="store_true", help="keep looking until it has ended")


def run(args: argparse.Namespace) -> dict[str, Any]:
    console, rows = console_of(args), rows_of(args.dir)
    if args.watch:
        watch(args.dir, rows, console)
    else:
        look(rows)
        if len(rows) == 1 and rows[0].damage is not None:
            raise InputError(rows[0].damage)
        console.print(render(rows))
    return {"path": str(args.dir), "cells": [row.progress.result(row.status) for row in rows]}


def rows_of(path: Path) -> list[RunRow]:
    """A row per cell of a study, or one for a run. Raises InputError if there is neither."""
    study = read_study(path)
    if study is not None:
        return [row_of(path / cell["path"], cell["method"], cell["seed"]) for cell in study["cells"]]
    if read_meta(path) is None:
        raise InputError(f"{path}: neither a run directory (run.json) nor a study's (study.json)")
    return [row_of(path)]


def row_of(path: Path, method: str = "", seed: int = 0) -> RunRow:
    progress = RunProgress(method, seed, 0, 0)
    row = RunRow(path, progress, Tail(path / EVENTS_FILE))
    with row.marking_damage():
        meta = read_meta(path)
        if meta is not None:
            row.progress = RunProgress.of(meta["config"])
    return row


def look(rows: list[RunRow]) -> None:
    for row in rows:
        row.look()
        with row.marking_damage():
            meta = read_meta(row.path)
            row.status = state_of(row.path, meta)
            if meta is not None:
                row.error = meta.get("error")
                if row.status == "done" and not row.progress.ended:
                    raise InputError(f"{row.path / EVENTS_FILE}: the file is missing or cut off before the run's end")
            elif (row.path / EVENTS_FILE).exists():
                raise InputError(f"{row.path}: the directory holds {EVENTS_FILE} but no {RUN_FILE}; restore that file")
            else:
                row.error = last_line(cell_log(row.path)) if row.status == "failed" else None


def state_of(path: Path, meta: Mapping[str, Any] | None) -> str:
    """The status that a run has for somebody who looks at its directory."""
    at_work = Lock(path).held_by_another()
    if meta is None:  # a cell that failed before its first commit has left its log and nothing else
        return "running" if at_work else "failed" if last_line(cell_log(path)) else "waiting"
    if meta["status"] == "running" and not at_work:
        return "interrupted"  # killed: nobody was left to say so
    return str(meta["status"])


def render(rows: list[RunRow]) -> RenderableType:
    if len(rows) > 1:
        left = [row.progress.seconds_left() for row in rows if row.status == "running"]
        about = f", about {duration(max(filter(None, left)))} left for those at work" if any(left) else ""
        broken = [Text(f"damaged: {row.name}: {row.damage}", style="red") for row in rows if row.damage]
        return Group(run_table(rows), count_line(rows) + Text(about), *broken)
    row = rows[0]
    error = f": {row.error}" if row.error else ""
    lines = now(row.progress, "controller") if row.status == "running" else [Text(f"{row.status}{error}", style="bold")]
    return Group(campaign_table(row.progress), *lines)


def watch(path: Path, rows: list[RunRow], console: Console) -> None:
    """Until nobody is at work there any more: it has ended, or was stopped, or killed. Raises KeyboardInterrupt when
    told to."""
    with Live(console=console, auto_refresh=False) as live:
        while True:
            at_work = Lock(path).held_by_another()  # asked first: what it wrote last is then looked at
            look(rows)
            live.update(render(rows), refresh=True)
            if not at_work and all(row.status != "running" for row in rows):
                return
            time.sleep(1)
