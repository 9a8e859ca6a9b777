"""Build the `report.html` of a run or study directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from crestfall.analysis.analyze import Analysis
from crestfall.analysis.trajectory import Run, Study, read_run, read_study
from crestfall.core.errors import RunDirectoryError
from crestfall.core.text import visible
from crestfall.report.foreign import foreign_section
from crestfall.report.groups import Group, foreign_group, group_runs
from crestfall.report.index import index
from crestfall.report.nulls import gap_noise
from crestfall.report.page import Page, render
from crestfall.report.provenance import Provenance, provenance
from crestfall.store.files import write_atomic
from crestfall.store.layout import EVENTS_FILE, INDEX_FILE, REPORT_FILE, cells_in, is_run, is_study


def write(path: Path, out: Path | None = None) -> Path:
    """Write the report of a run or study directory, finished or not; `out` replaces `path`/report.html. Of a folder
    that holds several: an index of them, index.html.

    Returns:
        The file written.

    Raises:
        InputError: the directory neither is nor holds a run or a study, or a file in it is broken.
        RunDirectoryError: the report cannot be written.
    """
    target = path / REPORT_FILE if out is None else out
    if out is not None:
        check_page(out)
    if is_study(path):
        study = read_study(path)
        write_atomic(target, render(study_page(study, links=write_cells(study))))
    elif is_run(path):
        write_atomic(target, render(run_page(read_run(path))))
    else:
        target = path / INDEX_FILE if out is None else out
        write_atomic(target, index(path, target))
    return target


def check_page(out: Path) -> None:
    """Raises RunDirectoryError where something else than a page stands: a run's log, for one, was never meant."""
    if out.is_file() and out.stat().st_size:
        with out.open("rb") as file:
            if b"<html" not in file.read(1000).lower():
                raise RunDirectoryError(f"{out}: a file that is no HTML page; choose another with --out")


def write_cells(study: Study) -> dict[tuple[str, int], str]:
    """Write the report of every chain that has none of its latest state. Returns where they are, from the study's
    directory: a page is the same wherever it is written, and its links work where the study is."""
    links = {}
    for run in study.runs:
        own, log = run.path / REPORT_FILE, run.path / EVENTS_FILE
        if not own.exists() or (log.exists() and own.stat().st_mtime < log.stat().st_mtime):
            write_atomic(own, render(run_page(run)))
        links[run.method, run.seed] = quote(str(own.relative_to(study.path)))
    return links


def run_page(run: Run) -> Page:
    """The page of one chain."""
    return _page(f"{run.method}, seed {run.seed}", "run", [run], run.path, group_runs([run]), ())


def study_page(study: Study, links: Mapping[tuple[str, int], str] | None = None) -> Page:
    """The page of all chains of a study that have begun; `links`: where the reports of each are."""
    title = study.path.resolve().name or "study"
    groups = group_runs(study.runs, method_order(study))
    absent = (*(f"Left out: {reason}." for reason in study.damaged), *_missing(study))
    page = _page(title, "study", study.runs, study.path, groups, absent, study.config.get("command"))
    return replace(page, links=links or {})


def method_order(study: Study) -> list[str]:
    """The methods in the order in which the study's configuration names them."""
    return list(dict.fromkeys(method for method, _ in _cells(study)))


def _cells(study: Study) -> list[tuple[str, str]]:
    """Method and seed of every cell that the study is to have."""
    cells = study.config.get("cells")
    listed = cells if isinstance(cells, list) else []
    return [(str(cell.get("method")), str(cell.get("seed"))) for cell in listed if isinstance(cell, dict)]


def _missing(study: Study) -> tuple[str, ...]:
    begun = {(cell.parent.name, cell.name.removeprefix("seed-")) for cell in cells_in(study.path)}
    waiting = [f"{method} seed {seed}" for method, seed in _cells(study) if (method, seed) not in begun]
    return (f"Not begun: {_some(waiting)}.",) if waiting else ()


def foreign_page(analysis: Analysis) -> Page:
    """The page of one run that another trainer logged."""
    trajectory = analysis.trajectory
    facts = (
        ("source", visible(str(trajectory.source), 300)),
        ("metric", visible(f"{trajectory.metric}: {trajectory.why}", 300)),
        ("points", f"{len(trajectory):,}, steps {int(trajectory.steps_S[0]):,} to {int(trajectory.steps_S[-1]):,}"),
    )
    group = foreign_group(trajectory)
    section = foreign_section(analysis)
    return Page(trajectory.name, "imported run", [group], {}, Provenance(facts, "", ""), trajectory.notes, section)


def write_foreign(analysis: Analysis, out: Path) -> Path:
    """Write the page of an imported run to `out`.

    Raises:
        RunDirectoryError: it cannot be written.
    """
    write_atomic(out, render(foreign_page(analysis)))
    return out


def _page(
    title: str,
    kind: str,
    runs: Sequence[Run],
    path: Path,
    groups: Sequence[Group],
    notes: tuple[str, ...],
    command: object = None,
) -> Page:
    told = (*_notes(runs), *notes)
    if kind == "run":
        command = runs[0].provenance.get("command")
    return Page(title, kind, groups, gap_noise(groups), provenance(runs, kind, command), told)


def _notes(runs: Sequence[Run]) -> tuple[str, ...]:
    """Cautions to read before the numbers: runs that are unfinished, failed, or have damaged files."""
    notes = []
    for status, words in (("running", "Still running"), ("interrupted", "Interrupted"), ("failed", "Failed")):
        names = [f"{run.method} seed {run.seed}" for run in runs if run.status == status]
        if names:
            notes.append(f"{words}: {_some(names)}; what is shown of it is not final.")
    notes += [f"{run.method} seed {run.seed}: {run.error}" for run in runs if run.error][:4]
    notes += [f"{run.method} seed {run.seed}: {note}" for run in runs for note in run.notes][:6]
    return tuple(notes)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
