"""A page over all runs and studies of a folder: what there is, how far it is, and the way to each report."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from crestfall.analysis.trajectory import Run, read_run, read_study
from crestfall.core.errors import InputError
from crestfall.report.groups import ends_of
from crestfall.report.template import environment, html_of
from crestfall.report.words import percent
from crestfall.store.layout import REPORT_FILE, RUN_FILE, STUDY_FILE

_MOST_METHODS = 12


@dataclass(frozen=True)
class Entry:
    """One method of a run or study, as a row."""

    name: str
    href: str
    kind: str
    method: str
    chains: str
    status: str
    start: str
    end: str


def index(folder: Path, target: Path) -> str:
    """The page as HTML. Raises InputError where the folder holds neither a run nor a study."""
    entries = [entry for path in _found(folder) for entry in _entries(path, folder, target)]
    if not entries:
        raise InputError(f"{folder}: neither run.json nor study.json there or below; expected a run, a study, or runs")
    title = folder.resolve().name or "runs"
    return html_of(environment().get_template("index.html"), title=title, entries=entries)


def _found(folder: Path) -> Iterator[Path]:
    """Runs and studies below, a study's cells not among them."""
    for path, directories, files in os.walk(folder):
        directories.sort()
        if RUN_FILE in files or STUDY_FILE in files:
            directories.clear()
            yield Path(path)


def _entries(path: Path, folder: Path, target: Path) -> list[Entry]:
    name, report = str(path.relative_to(folder)), path / REPORT_FILE
    href = quote(os.path.relpath(report, target.parent)) if report.exists() else ""
    kind = "study" if (path / STUDY_FILE).is_file() else "run"
    try:
        runs = read_study(path).runs if kind == "study" else (read_run(path),)
    except InputError as error:
        return [Entry(name, href, kind, "", "", f"damaged: {error}", "", "")]
    methods: dict[str, list[Run]] = {}
    for run in runs:
        methods.setdefault(run.method, []).append(run)
    shown = list(methods.items())[:_MOST_METHODS]
    rows = [Entry(name, href, kind, method, *_numbers(found)) for method, found in shown]
    return rows or [Entry(name, href, kind, "", "0", "not begun", "", "")]


def _numbers(runs: list[Run]) -> tuple[str, str, str, str]:
    """Chains, their states, and the means on the final set at the start and at the end of the chain."""
    states = sorted({run.status for run in runs})
    status = ", ".join(f"{sum(run.status == state for run in runs)} {state}" for state in states)
    starts = [f.evaluation.pass_at_1 for run in runs if (f := run.final(-1, "start")) is not None]
    ends = [f.evaluation.pass_at_1 for _, f in ends_of(runs)]
    start, end = (percent(sum(s) / len(s), 1) if s else "–" for s in (starts, ends))
    return str(len(runs)), status, start, end
