"""`crestfall diff A B`: two runs side by side: what differs, and what differed first."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from crestfall.analysis.analyze import Analysis, analyze
from crestfall.analysis.diff import Diff, diff, settings
from crestfall.analysis.importers.load import load
from crestfall.analysis.trajectory import Trajectory
from crestfall.cli.analyze import add_log_arguments, metrics_of
from crestfall.cli.common import console_of, say
from crestfall.core.errors import InputError

SCORES = ("class", "start", "peak", "peak_step", "end", "gap", "p_value")

EXAMPLE = "crestfall diff runs/two/cells/naive/seed-1 runs/two/cells/es/seed-1"


def configure(parser: argparse.ArgumentParser) -> None:
    for name in ("a", "b"):
        parser.add_argument(name, metavar=name.upper(), help="a run directory, or a log that `crestfall analyze` reads")
    add_log_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    sides = [load([path], metrics_of(args.metric), args.samples) for path in (args.a, args.b)]
    pairs = paired(sides[0], sides[1], args.a, args.b)
    changed = settings(Path(args.a), Path(args.b))
    rows = []
    for a, b in pairs:
        if a.metric != b.metric:
            raise InputError(
                f"{args.b}: measured by {b.metric}, and {args.a} by {a.metric}; expected the same metric: --metric KEY"
            )
        rows.append((analyze(a), analyze(b), diff(a, b)))
    if not args.json:
        show(console_of(args), rows, changed)
    return {
        "settings": None if changed is None else {key: list(values) for key, values in changed.items()},
        "runs": [to_json(*row) for row in rows],
    }


def paired(
    a: Sequence[Trajectory], b: Sequence[Trajectory], a_path: str, b_path: str
) -> list[tuple[Trajectory, Trajectory]]:
    """Pair the runs of two sides: one with one; several by name, or the campaigns of two runs by number."""
    if len(a) == len(b) == 1:
        return [(a[0], b[0])]
    for name in (_whole_name, _last_name):
        ours, others = ({name(t): t for t in side} for side in (a, b))
        told_apart = len(ours) == len(a) and len(others) == len(b)
        if told_apart and (same := [key for key in ours if key in others]):
            return [(ours[key], others[key]) for key in same]
    raise InputError(
        f"{b_path}: holds {len(b)} runs ({b[0].name} ...), none of which is named as one of the {len(a)} of {a_path} "
        f"({a[0].name} ...); expected one run each"
    )


def _whole_name(trajectory: Trajectory) -> str:
    return trajectory.name


def _last_name(trajectory: Trajectory) -> str:
    return trajectory.name.rpartition("/")[2]


def to_json(a: Analysis, b: Analysis, d: Diff) -> dict[str, Any]:
    one, other = a.to_json(), b.to_json()
    keys = ("path", "name", "metric", *SCORES)
    return {
        "a": {key: one[key] for key in keys},
        "b": {key: other[key] for key in keys},
        "differs": asdict(d.score),
        "signals": {name: asdict(p) for name, p in d.signals},
        "signals_compared": d.compared,
        "first": d.first,
    }


def show(
    console: Console, rows: Sequence[tuple[Analysis, Analysis, Diff]], changed: dict[str, tuple[Any, Any]] | None
) -> None:
    """Settings once, then a table and a few lines for each pair."""
    if changed is not None:
        say(console, "settings that differ" if changed else "the settings are the same", "bold")
        for key, (one, other) in changed.items():
            say(console, f"{key}: {_shown(one)} -> {_shown(other)}")
    for a, b, d in rows:
        one, other = a.to_json(), b.to_json()
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column(one["metric"])
        table.add_column(f"A: {one['name']}", justify="right")
        table.add_column(f"B: {other['name']}", justify="right")
        for key in SCORES:
            table.add_row(key.replace("_", " "), _number(one[key]), _number(other[key]))
        console.print(table)
        for line in lines(d):
            say(console, line)


def lines(d: Diff) -> list[str]:
    """Lines that state a comparison in words."""
    score = d.score
    if not score.judged:
        why = "no step in common" if not score.points else f"{score.points} common steps of unknown noise are too few"
        return [f"differ   not tested: {why}; --samples N states how many graded samples are behind each value"]
    if score.step is None:
        out = [f"differ   by no more than noise explains, at {score.points} common steps (p-value {score.p_value:.3f})"]
        if not score.noise_known:
            out.append("noise    estimated: --samples N gives it, and smaller differences are then seen")
    else:
        out = [
            f"differ   from step {score.step} on, B less A {score.difference:+.3f} in the mean "
            f"(p-value {score.p_value:.4f}, {score.points} common steps)"
        ]
    for name, p in d.signals[:8]:
        out.append(f"signal   {name} differs from step {p.step} on ({p.difference:+.3g} in the mean)")
    if len(d.signals) > 8:
        out.append(f"signal   and {len(d.signals) - 8} more, later")
    if not d.signals:
        out.append("signal   none differs by more than noise explains" if d.compared else "signal   none in common")
    out.append(f"first    {'nothing' if d.first is None else d.first}")
    return out


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value).replace("_", " ")


def _shown(value: Any) -> str:
    return "(not set)" if value is None else str(value)
