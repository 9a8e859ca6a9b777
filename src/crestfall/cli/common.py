"""Helpers shared by several verbs: output directories, stopping a run, and the lines printed at the end."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from rich.text import Text

from crestfall.core.errors import CrestfallError
from crestfall.core.terminal import Terminal
from crestfall.core.text import for_shell

if TYPE_CHECKING:
    from rich.console import Console

    from crestfall.testbed.config import RunConfig


def add_config_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "config", metavar="CONFIG", help=f"a YAML file that describes a {what}, or the name of one that ships"
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="options to change: update.learning_rate=8e-4"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where results go (default: runs/<name of the config>)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be run and what it costs; run nothing")


def out_directory(args: argparse.Namespace) -> Path:
    """`--out`, or runs/<name of the config> below the working directory."""
    name = Path(args.config)
    # Not every dot begins a suffix: qwen2.5-7b.
    stem = name.stem if name.suffix in (".yaml", ".yml", ".json") else name.name
    out: Path = args.out or Path("runs") / stem
    return out


def console_of(args: argparse.Namespace) -> Console:
    """Console for people: stdout, or stderr if `--json` or `--out -` uses stdout."""
    return Terminal(stderr=args.json or str(getattr(args, "out", None)) == "-", highlight=False)


class StopRequest:
    """Ctrl-C (and what `guarded` takes for it) as a question to ask between steps. The second one interrupts at once;
    nothing is lost then either.

    A context manager; call it to ask. `tell`: say so on stderr at once (a live view says it itself).
    """

    def __init__(self, tell: bool = True) -> None:
        self._asked, self._tell = False, tell
        self._before: Any = None

    def __call__(self) -> bool:
        return self._asked

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        if self._tell:
            # Not through print: a handler runs between any two bytecodes, also inside one.
            with suppress(OSError):
                os.write(2, b"\ncrestfall: finishing the step in flight and saving; again stops at once\n")

    def __enter__(self) -> StopRequest:
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        signal.signal(signal.SIGINT, self._before)


def provenance_of(config: RunConfig, command: Sequence[str]) -> dict[str, Any]:
    """Provenance of a run, with the isolation of its grader. Raises GraderError if the grader cannot be isolated."""
    from crestfall.grading import CodeGrader
    from crestfall.store.provenance import provenance

    with CodeGrader(replace(config.grader, workers=1)) as grader:
        return provenance(command) | {"sandbox": grader.layers}


def write_report(path: Path, console: Console) -> str | None:
    """Write the HTML report of a run or study. A report that fails costs a line, not the run's result."""
    from crestfall import report

    try:
        return str(report.write(path, None))
    except CrestfallError as error:
        console.print(Text(f"no report: {error}", style="red"))
        return None


def say_next(console: Console, out: Path, report: str | None) -> None:
    """The last lines of a run or study: where things are and what to type next."""
    if report is not None:
        say(console, f"report   {report}")
    say(console, f"next     crestfall analyze {for_shell(out)}")


def say(console: Console, text: str, style: str = "") -> None:
    """Print one line as it is: paths are neither wrapped nor read as markup."""
    console.print(Text(text, style=style), soft_wrap=True)
