"""`crestfall replay PATH... --control NAME`: what would these controllers have done on these runs?"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from crestfall.analysis import replay
from crestfall.analysis.importers.load import load
from crestfall.analysis.trajectory import Series, Trajectory
from crestfall.cli.analyze import add_log_arguments, metrics_of
from crestfall.cli.common import console_of, say
from crestfall.control.base import Controller, check_without_duels
from crestfall.control.fall_test import DIFFERENCES
from crestfall.core.build import component, options
from crestfall.core.errors import ConfigError, InputError
from crestfall.core.registry import lookup, nearest
from crestfall.store import yaml

BIASED = "biased: chosen and scored on"

EXAMPLE = "crestfall replay logs/ --control early_stop,fixed margin=2 fixed.step=10"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="run directories, studies and foreign logs")
    parser.set_defaults(overrides=[])  # the command line puts key=value words here, wherever they stand
    parser.add_argument(
        "--control",
        action="append",
        required=True,
        metavar="NAME[,NAME...]",
        help="controllers to try (`crestfall list control`); key=value words set an option of each that has it, "
        "NAME.key=value of one",
    )
    add_log_arguments(parser)
    parser.add_argument("--score", metavar="KEY", help="a second metric of foreign logs, to score the kept step on")


def run(args: argparse.Namespace) -> dict[str, Any]:
    paths, words = split([*args.paths, *args.overrides], "replay")
    controllers = controllers_of([name for names in args.control for name in names.split(",")], words)
    second = {}
    if args.score is not None:
        second = {(t.source, t.name): (t.metric, _series(t)) for t in load(paths, args.score)}
    trajectories = load(paths, metrics_of(args.metric), args.samples)
    rows = [row for t in trajectories for row in rows_of(t, controllers, second.get((t.source, t.name)))]
    if not args.json:
        show(console_of(args), rows)
    return {"runs": rows}


def split(words: Sequence[str], verb: str) -> tuple[list[str], list[str]]:
    """Paths, and options of the form key=value (a path that exists is one whatever it looks like)."""
    chosen = [word for word in words if "=" in word and "/" not in word.split("=")[0] and not Path(word).exists()]
    paths = [word for word in words if word not in chosen]
    if not paths:
        raise ConfigError(f"{verb}: no path given")
    return paths, chosen


def controllers_of(names: Sequence[str], words: Sequence[str]) -> dict[str, Controller]:
    """Controllers by name, with the options that apply. Raises ConfigError for an option that none of them has."""
    given: dict[str, dict[str, Any]] = {name: {} for name in names}
    known = {name: {option.name for option in options(lookup("control", name))} for name in given}
    for key, value in yaml.overrides(words).items():
        if key in given and isinstance(value, Mapping):
            given[key] |= value
            continue
        takers = [name for name in given if key in known[name]]
        if not takers:
            every = sorted(set().union(*known.values()))
            raise ConfigError(
                f"{key}: no option of {', '.join(given)}{nearest(key, every)}; known options: {', '.join(every)}"
            )
        for name in takers:
            given[name][key] = value
    controllers = {name: component("control", {"name": name, **chosen}, name) for name, chosen in given.items()}
    for controller in controllers.values():
        check_without_duels(controller)
    return controllers


def rows_of(
    trajectory: Trajectory, controllers: Mapping[str, Controller], second: tuple[str, Series] | None
) -> list[dict[str, Any]]:
    """One JSON object per controller. Raises InputError for a curve without points."""
    if not len(trajectory):
        raise InputError(f"{trajectory.source}: no step has been evaluated yet, so there is nothing to replay")
    score = replay.score_of(trajectory, second)
    best = replay.oracles(trajectory, score)
    records = replay.records_of(trajectory)
    first, last = records[0].step, records[-1].step
    rows = []
    for name, controller in controllers.items():
        done = replay.replay(controller, records)
        ended = last if done.acted_at is None else done.acted_at
        kept, at_end = score.at(done.kept_step), score.at(last)
        rows.append(
            {
                "path": str(trajectory.source),
                "name": trajectory.name,
                "metric": trajectory.metric,
                "control": name,
                "action": done.decision.action,
                "stopped_at": done.acted_at,
                "alerted_at": done.alerted_at,
                "reason": done.decision.reason,
                "kept_step": done.kept_step,
                "kept_value": kept,
                "last_value": at_end,
                "best_value": best.hindsight,
                "best_step": best.hindsight_step,
                "trace_value": best.trace,
                "trace_step": best.trace_step,
                "gain": kept - at_end,
                "regret": best.hindsight - kept,
                "steps_run": ended - first,
                "steps_saved": last - ended,
                "scored_on": f"{BIASED} {score.name}" if score.biased else score.name,
                "biased": score.biased,
                "note": _beyond(name, done) or (_caution(trajectory) if done.alerted_at is None else ""),
            }
        )
    return rows


def show(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table for each run, controllers one under the other and the oracles below; then, of several runs, the means."""
    runs = [list(group) for _, group in groupby(rows, key=lambda row: (row["path"], row["name"]))]
    for run_rows in runs:
        first = run_rows[0]
        scored = first["scored_on"] if first["biased"] else f"scored on {first['scored_on']}"
        say(console, f"{first['name']}: {first['metric']}, {scored}", "bold")
        console.print(table(run_rows))
    if len(runs) > 1:
        say(console, f"means over {len(runs)} runs", "bold")
        console.print(means(rows))
    for note in dict.fromkeys(row["note"] for row in rows if row["note"]):
        say(console, f"note: {note}")
    if any(row["biased"] for row in rows):
        say(
            console,
            "biased: the best of noisy values is too high by about their noise; --score KEY names a second metric",
        )


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Table of what each controller would have done on one run."""
    out = _table("acts at", "keeps", "scores", "vs last", "vs best", "saves steps")
    for row in rows:
        kept, gain, regret = f"{row['kept_value']:.3f}", f"{row['gain']:+.3f}", f"{0 - row['regret']:+.3f}"
        out.add_row(row["control"], _acted(row), str(row["kept_step"]), kept, gain, regret, str(row["steps_saved"]))
    for name, step, value in (
        ("trace oracle", row["trace_step"], row["trace_value"]),
        ("hindsight oracle", row["best_step"], row["best_value"]),
    ):
        gain, regret = f"{value - row['last_value']:+.3f}", f"{value - row['best_value']:+.3f}"
        out.add_row(name, "", str(step), f"{value:.3f}", gain, regret, "", style="dim")
    return out


def means(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Each controller over all runs."""
    out = _table("acts in", "vs last", "vs best", "saves steps")
    for name in dict.fromkeys(row["control"] for row in rows):
        own = [row for row in rows if row["control"] == name]
        acted = sum(row["stopped_at"] is not None for row in own)
        gain, regret = (sum(row[key] for row in own) / len(own) for key in ("gain", "regret"))
        saved = sum(row["steps_saved"] for row in own)
        share = saved / max(1, saved + sum(row["steps_run"] for row in own))
        out.add_row(name, f"{acted} of {len(own)}", f"{gain:+.3f}", f"{-regret:+.3f}", f"{share:.0%}")
    return out


def _table(*headings: str) -> Table:
    out = Table(box=None, pad_edge=False, header_style="dim")
    out.add_column("control", min_width=16)
    for heading in headings:
        out.add_column(heading, justify="right")
    return out


def _acted(row: Mapping[str, Any]) -> str:
    if row["stopped_at"] is not None:
        how = {"stop": "", "rollback": " (back)", "continue": " (goes on)"}[row["action"]]
        return f"{row['stopped_at']}{how}"
    return "never" if row["alerted_at"] is None else f"alert {row['alerted_at']}"


def _beyond(name: str, done: replay.Replay) -> str:
    """Note on the consequences of a decision that a replay cannot show; empty if there are none."""
    if not done.beyond:
        return ""
    where = "at the end" if done.acted_at is None else f"at step {done.acted_at}"
    return f"{name}: {done.beyond} {where}: what that leads to cannot be replayed"


def _caution(trajectory: Trajectory) -> str:
    """Controllers that test for a fall cannot do so without the noise."""
    if trajectory.standard_errors_S is not None or trajectory.select is not None or len(trajectory) > DIFFERENCES:
        return ""
    return (
        f"{len(trajectory)} evaluations of unknown noise: a test of the fall needs {DIFFERENCES + 1} to estimate it; "
        "--samples N states how many graded samples are behind each"
    )


def _series(trajectory: Trajectory) -> Series:
    return Series(trajectory.steps_S, trajectory.values_S)
