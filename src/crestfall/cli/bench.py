"""`crestfall bench WHAT`: ratios against peers, side by side in one run.

WHAT is a module of `crestfall.bench` with a function `run`; the options are passed on as far as it takes them.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

import crestfall.bench
from crestfall.cli.common import console_of
from crestfall.cli.numbers import amount, count
from crestfall.report.live.fit import Fitting

EXAMPLE = "crestfall bench grader --programs 150"


def configure(parser: argparse.ArgumentParser) -> None:
    names = sorted(module.name for module in pkgutil.iter_modules(crestfall.bench.__path__))
    parser.add_argument("what", choices=names, help="what to measure")
    parser.add_argument(
        "--programs", type=count(), default=300, metavar="N", help="grader: number of distinct programs"
    )
    parser.add_argument(
        "--duplicates", type=amount(0, 1), metavar="SHARE", help="grader: share of a step's programs that are repeats"
    )
    parser.add_argument("--events", type=Path, metavar="F", help="grader: take that share from a run's events.jsonl")
    parser.add_argument("--threads", type=count(1, 256), default=2, metavar="N", help="step: CPU threads of torch")


def run(args: argparse.Namespace) -> dict[str, Any]:
    bench = importlib.import_module(f"crestfall.bench.{args.what}")
    taken = inspect.signature(bench.run).parameters
    result: dict[str, Any] = bench.run(**{name: value for name, value in vars(args).items() if name in taken})
    if not args.json:
        console = console_of(args)
        console.print(Fitting(table_of(result[args.what])))
        for name, value in result.items():
            if name != args.what:
                console.print(f"{name}: {value}", markup=False)
    return result


def table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A row per peer; what one row lacks is empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name.replace("_", " "), justify="left" if name == "peer" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(str(row.get(name, "")) for name in names))
    return table
