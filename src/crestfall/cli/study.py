"""`crestfall study CONFIG [key=value ...]`: methods x seeds of chains. Run again, it runs what is missing."""

from __future__ import annotations

import argparse
import sys
import time
from fnmatch import fnmatchcase
from typing import Any

from rich.text import Text

from crestfall.cli.common import (
    StopRequest,
    add_config_arguments,
    console_of,
    out_directory,
    say,
    say_next,
    write_report,
)
from crestfall.cli.dry_run import dry_run
from crestfall.cli.numbers import amount, count
from crestfall.cli.study_view import StudyView, count_line
from crestfall.core.errors import ConfigError
from crestfall.report.live.console import is_live
from crestfall.report.live.words import duration
from crestfall.store.layout import is_run
from crestfall.store.lock import Lock
from crestfall.store.provenance import usable_cpus
from crestfall.testbed import preflight
from crestfall.testbed.config import load_study
from crestfall.testbed.executors import EXECUTORS, check_executor, executor
from crestfall.testbed.study import cells_of, check_directory, prepare, run_cells

AFTER_INTERRUPT = "the same command continues from here"

EXAMPLE = "crestfall study quickstart seeds=[1,2] --out runs/two --workers 2"


def configure(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser, "study")
    parser.add_argument(
        "--workers",
        type=count(1, 4096),
        metavar="N",
        help="number of cells that run at once (default: as many as there is room for)",
    )
    parser.add_argument(
        "--only",
        metavar="PATTERN",
        help="run only the cells whose METHOD/seed-N matches, as with file names: 'naive/*' (default: all)",
    )
    parser.add_argument("--executor", choices=EXECUTORS, default="local", help="where cells run (default: local)")
    parser.add_argument(
        "--gpus-per-cell",
        type=amount(0, 64),
        default=0,
        metavar="G",
        help="GPUs that Ray reserves for each cell (default: none)",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    study, out, console = load_study(args.config, args.overrides), out_directory(args), console_of(args)
    cells = cells_of(study, out)
    check_directory(study, out)
    chosen = {cell.name for cell in cells if args.only is None or fnmatchcase(cell.name, args.only)}
    if not chosen:
        raise ConfigError(f"--only {args.only}: no cell matches; the first cell is {cells[0].name}")
    cells = [cell for cell in cells if cell.name in chosen]
    preflight.check(cell.config for cell in cells if args.dry_run or not is_run(cell.path))
    check_executor(args.executor, args.gpus_per_cell)
    if args.dry_run:
        workers = args.workers or study.workers or usable_cpus()
        return dry_run(console, out, {cell.name: cell.config for cell in cells}, workers)
    runner = executor(args.executor, args.gpus_per_cell)
    workers = args.workers or study.workers or runner.capacity()
    started = time.monotonic()
    with Lock(out) as lock, StopRequest(tell=not is_live(console)) as should_stop:
        cells = [cell for cell in prepare(study, out, sys.argv[1:]) if cell.name in chosen]
        missing = [cell for cell in cells if not cell.done()]
        if len(missing) < len(cells):
            say(console, f"{out}: {len(cells) - len(missing)} of {len(cells)} cells were finished before")

        def asked() -> bool:
            lock.check()
            return should_stop()

        view = StudyView(console, cells, workers, should_stop)
        try:
            run_cells(missing, runner, workers, view, asked)
        finally:
            view.close()
    failed = [row for row in view.rows if row.status == "failed"]
    for row in failed:
        say(console, f"failed: {row.name}: {row.error}", "red")
    report = write_report(out, console)
    seconds = time.monotonic() - started
    console.print(count_line(view.rows) + Text(f"   ({duration(seconds)})"))
    say_next(console, out, report)
    results = [row.progress.result(row.status) | ({"error": row.error} if row.error else {}) for row in view.rows]
    return {"out": str(out), "report": report, "seconds": round(seconds, 1), "cells": results, "failed": len(failed)}
