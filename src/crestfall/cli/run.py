"""`crestfall run CONFIG [key=value ...]`: one chain. The same command continues it."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from crestfall.cli import ranks
from crestfall.cli.common import (
    StopRequest,
    add_config_arguments,
    console_of,
    out_directory,
    provenance_of,
    say,
    say_next,
    write_report,
)
from crestfall.cli.dry_run import dry_run
from crestfall.report.live.console import campaign_table, is_live, run_view
from crestfall.report.live.progress import RunProgress
from crestfall.report.live.trackers import NAMES, check_trackers, trackers
from crestfall.report.live.words import duration, percent
from crestfall.store.events import Sink
from crestfall.store.layout import EVENTS_FILE, is_run
from crestfall.store.run_directory import RunDirectory, check_place
from crestfall.testbed import preflight
from crestfall.testbed.config import RunConfig, as_of_today, load_run, resolved
from crestfall.testbed.session import train

AFTER_INTERRUPT = "the same command continues from here"

EXAMPLE = "crestfall run chain control.name=none update.learning_rate=5e-4 seed=3 --out runs/mine"


def configure(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser, "run")
    parser.add_argument(
        "--track", action="append", default=[], choices=NAMES, help="log to a tracker too (extra `trackers`)"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    config, out, console = load_run(args.config, args.overrides), out_directory(args), console_of(args)
    check_trackers(args.track)
    if args.dry_run:
        preflight.check([config])
        check_place(out, resolved(config), as_of_today)
        return dry_run(console, out, {config.method: config})
    if not is_run(out):  # one that goes on has passed, and may do without what only its beginning needed
        preflight.check([config])
    if ranks.serve(config):
        raise SystemExit(0)

    progress = RunProgress.of(resolved(config))

    def view(directory: RunDirectory) -> list[Sink]:
        earlier = list(directory.events())
        progress.read(earlier, out / EVENTS_FILE)
        if progress.campaigns:
            say(console, f"{out}: continues after {progress.steps_done} steps")
        live = run_view(console, progress, config.control.name, should_stop)
        return [live, *trackers(args.track, out, resolved(config), earlier)]

    started = time.monotonic()
    with StopRequest(tell=not is_live(console)) as should_stop:
        trained = train(config, out, provenance_of(config, sys.argv[1:]), view, should_stop)
    if not trained:
        ranks.dismiss(config)
        progress = finished(config, out)
        say(console, f"{out}: finished before, nothing left to run")
        console.print(campaign_table(progress))
    return finish(progress, out, console, time.monotonic() - started)


def finished(config: RunConfig, out: Path) -> RunProgress:
    progress = RunProgress.of(resolved(config))
    progress.read(RunDirectory(out).events(), out / EVENTS_FILE)
    return progress


def finish(progress: RunProgress, out: Path, console: Console, seconds: float) -> dict[str, Any]:
    """Say the numbers and where everything is; return them for `--json`."""
    start, end = percent(progress.final_start), percent(progress.end_of_chain)
    took = duration(seconds)
    say(console, f"final set: pass@1 {start} at the start, {end} at the end of the chain   ({took})", "bold")
    report = write_report(out, console)
    say_next(console, out, report)
    return {"out": str(out), "report": report, "seconds": round(seconds, 1), "cells": [progress.result("done")]}
