"""`crestfall watch PATH...`: follow logs that are being written; say, and act, when the score has fallen."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crestfall.cli.analyze import add_log_arguments, metrics_of
from crestfall.cli.common import console_of
from crestfall.cli.numbers import amount, count
from crestfall.cli.replay import controllers_of, split
from crestfall.cli.watching import Watch
from crestfall.core.entry import BAD, INTERRUPTED
from crestfall.core.errors import ConfigError, InputError

EXAMPLE = "crestfall watch logs/ --samples 480 --exec 'scancel 1234' --keep 'checkpoints/global_step_{step}'"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="logs and folders, of any kind that `crestfall analyze` reads"
    )
    parser.set_defaults(overrides=[])  # the command line puts key=value words here, wherever they stand
    add_log_arguments(parser)
    parser.add_argument(
        "--control",
        default="alert",
        metavar="NAME",
        help="the controller that decides (`crestfall list control`); key=value words set its options (default: alert)",
    )
    act = parser.add_argument_group("when the score has fallen")
    act.add_argument("--exec", metavar="CMD", help="run this command in a shell, once for each run: 'scancel 1234'")
    act.add_argument("--webhook", metavar="URL", help="POST JSON to this address")
    act.add_argument(
        "--notify", action="append", metavar="URL", help="an address of apprise: desktop, mail, chat (extra notify)"
    )
    keep = parser.add_argument_group("the best checkpoint so far")
    keep.add_argument(
        "--keep", metavar="PATTERN", help="protect it from the trainer's clean-up: 'checkpoints/global_step_{step}'"
    )
    keep.add_argument(
        "--keep-best", type=count(), default=1, metavar="N", help="number of best checkpoints to keep (default: 1)"
    )
    keep.add_argument("--keep-copy", action="store_true", help="copy files; the default is hard links, else copies")
    show = parser.add_argument_group("how it looks")
    show.add_argument(
        "--once", action="store_true", help="look once: exit code 1 if a run has fallen, 2 if --keep could not"
    )
    show.add_argument(
        "--interval", type=amount(0.05, 86_400), default=5.0, metavar="S", help="seconds between looks (default: 5)"
    )
    show.add_argument("--serve", action="store_true", help="show a page that refreshes itself, to this machine alone")
    show.add_argument("--host", default="127.0.0.1", help="address that the page is served on (default: this machine)")
    show.add_argument("--port", type=int, metavar="N", help="port of the page (default: 8642, or a free one)")
    show.add_argument(
        "--state", type=Path, metavar="DIR", help="where a watch remembers what it has done (default: ~/.local/state)"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    paths, words = split([*args.paths, *args.overrides], "watch")
    if "-" in paths:
        raise ConfigError("watch: stdin (-) cannot be read again; expected the path of a log")
    controller = controllers_of([args.control], words)[args.control]
    watch = Watch(args, paths, metrics_of(args.metric), controller, _state(args.state), console_of(args))
    interrupted = False
    with watch:
        try:
            watch.look()
            if args.once:
                _check(watch.refused, watch.views)
            while not args.once:
                time.sleep(args.interval)
                watch.look()
        except KeyboardInterrupt:
            interrupted = True
    watch.sum_up(interrupted)
    return watch.result() | {"interrupted": interrupted}


def exit_code(args: argparse.Namespace, result: dict[str, Any]) -> int:
    if result["interrupted"]:
        return INTERRUPTED
    return 1 if result["fell"] else BAD if result["not_kept"] else 0


def _check(refused: Sequence[str], views: Sequence[Any]) -> None:
    """A single look at something that is no log is an error; while following, it may still become one."""
    if refused and not views:
        raise InputError(refused[0])


def _state(told: Path | None) -> Path:
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return told or Path(base) / "crestfall" / "watch"
