"""From a run or study directory to its `report.html`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crestfall.analysis.analyze import Analysis
from crestfall.analysis.trajectory import Run, Study, read_run, read_study
from crestfall.core.errors import InputError
from crestfall.report.foreign import foreign_section
from crestfall.report.groups import Group, foreign_group, group_runs
from crestfall.report.nulls import gap_noise
from crestfall.report.page import Page, render
from crestfall.report.provenance import Provenance, provenance
from crestfall.report.text import visible
from crestfall.store.files import write_atomic
from crestfall.store.layout import REPORT_FILE, is_run, is_study


def write(path: Path, out: Path | None = None) -> Path:
    """Write the report of a run or study directory, finished or not; `out` replaces `path`/report.html.

    Returns:
        The file written.

    Raises:
        InputError: the directory is neither a run nor a study, or a file in it is broken.
        RunDirectoryError: the report cannot be written.
    """
    if is_study(path):
        page = study_page(read_study(path))
    elif is_run(path):
        page = run_page(read_run(path))
    else:
        raise InputError(f"{path}: neither run.json nor study.json there; expected a run or study directory")
    target = path / REPORT_FILE if out is None else out
    write_atomic(target, render(page))
    return target


def run_page(run: Run) -> Page:
    """The page of one chain."""
    return _page(f"{run.method}, seed {run.seed}", "run", [run], run.path, group_runs([run]), ())


def study_page(study: Study) -> Page:
    """The page of all chains of a study that have begun."""
    title = study.path.resolve().name or "study"
    return _page(title, "study", study.runs, study.path, group_runs(study.runs, method_order(study)), _missing(study))


def method_order(study: Study) -> list[str]:
    """The methods in the order in which the study's configuration names them."""
    return list(dict.fromkeys(method for method, _ in _cells(study)))


def _cells(study: Study) -> list[tuple[str, str]]:
    """Method and seed of every cell that the study is to have."""
    cells = study.config.get("cells")
    listed = cells if isinstance(cells, list) else []
    return [(str(cell.get("method")), str(cell.get("seed"))) for cell in listed if isinstance(cell, dict)]


def _missing(study: Study) -> tuple[str, ...]:
    begun = {(run.method, str(run.seed)) for run in study.runs}
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
    title: str, kind: str, runs: Sequence[Run], path: Path, groups: Sequence[Group], notes: tuple[str, ...]
) -> Page:
    told = (*_notes(runs), *notes)
    return Page(title, kind, groups, gap_noise(groups), provenance(runs, kind, path.resolve().name), told)


def _notes(runs: Sequence[Run]) -> tuple[str, ...]:
    """What a reader has to know before believing the numbers: what is unfinished, failed or torn."""
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
