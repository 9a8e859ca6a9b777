"""`crestfall analyze PATH...`: when did these runs peak, and was the fall real?"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crestfall.cli.common import console_of, say
from crestfall.core.errors import CrestfallWarning

if TYPE_CHECKING:
    from rich.console import Console

    from crestfall.analysis.analyze import Analysis


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="run or study directory, trainer_state.json, JSONL, CSV, TensorBoard events, console log, or a directory",
    )
    parser.add_argument(
        "--metric", metavar="KEY", help="judge foreign logs by this key (default: an evaluation, else the reward)"
    )
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="write a report page for each run into this directory"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    from crestfall.analysis.analyze import analyze
    from crestfall.analysis.importers.load import load

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CrestfallWarning)
        trajectories = load(args.paths, args.metric)
    for warning in caught:
        print(f"crestfall: {warning.message}", file=sys.stderr)
    analyses = [analyze(trajectory) for trajectory in trajectories]
    pages = [] if args.report is None else write_pages(analyses, args.report)
    if not args.json:
        console = console_of(args)
        if len(analyses) == 1:
            show(console, analyses[0])
        else:
            show_table(console, analyses)
        for page in pages:
            say(console, f"report   {page}")
    return {"runs": [a.to_json() for a in analyses]} | ({"reports": [str(p) for p in pages]} if pages else {})


def write_pages(analyses: Sequence[Analysis], directory: Path) -> list[Path]:
    """A page per run, named after it; a number goes before the name so that no two are the same."""
    from crestfall.report import write_foreign

    directory.mkdir(parents=True, exist_ok=True)
    pages = []
    for i, a in enumerate(analyses, start=1):
        name = re.sub(r"[^\w.-]+", "_", a.trajectory.name)[:80]
        pages.append(write_foreign(a, directory / f"{i:03d}-{name}.html"))
    return pages


def show(console: Console, a: Analysis) -> None:
    """One run, for people."""
    t, m, c = a.trajectory, a.measures, a.classification
    say(console, f"{t.name}: {c.label.replace('_', ' ')}", style="bold")
    say(console, f"metric   {t.metric}: {t.why}")
    say(console, f"steps    {len(t)} points from {t.steps_S[0]} to {m.end_step}")
    say(console, f"start    {m.start:.3f}")
    say(console, f"peak     {m.peak:.3f} at step {m.peak_step}" + _as_selected(a))
    say(console, f"end      {m.end:.3f}, gap {m.gap:.3f}")
    fall = c.levels.fall
    smoothed = f", moving average of {c.smoothing} points" if c.smoothing > 1 else ""
    say(
        console,
        f"fall     {fall.value:.3f}, 95% interval [{fall.low:.3f}, {fall.high:.3f}]{smoothed}",
    )
    say(
        console, f"p-value  {c.p_fall:.3f} against a plateau with the same noise (sd {c.noise:.3f}, {_noise_source(a)})"
    )
    if a.onset is not None:
        for_good = f"; below the peak by more than 0.1 for good from {a.onset_for_good}" if a.onset_for_good else ""
        say(console, f"onset    step {a.onset}: the largest fall{for_good}")
    if a.phase_transition is not None:
        say(console, f"cliff    {a.phase_transition:.0%} of the fall in one step")
    for lead in a.leads:
        say(console, f"lead     {lead.signal} broke {_when(lead.steps)} (p-value {lead.p_value:.3f})")
    if a.onset is not None and not a.leads:
        say(console, "lead     " + ("no companion signal broke" if t.signals else "no companion signals in this log"))
    for note in t.notes:
        say(console, f"note     {note}")


def show_table(console: Console, analyses: Sequence[Analysis]) -> None:
    """Many runs, a row each."""
    from rich.measure import Measurement
    from rich.table import Table

    table = Table("run", "metric", "class", box=None, header_style="bold")
    for column in ("start", "peak", "step", "end", "gap", "p-value", "onset", "first lead"):
        table.add_column(column, justify="right", no_wrap=True)
    for a in analyses:
        m, c = a.measures, a.classification
        first = f"{a.leads[0].signal} {a.leads[0].steps:+d}" if a.leads else ""
        table.add_row(
            a.trajectory.name,
            a.trajectory.metric,
            c.label.replace("_", " "),
            *(f"{x:.3f}" for x in (m.start, m.peak)),
            str(m.peak_step),
            *(f"{x:.3f}" for x in (m.end, m.gap, c.p_fall)),
            "" if a.onset is None else str(a.onset),
            first,
        )
    if not console.is_terminal:  # a file or a pipe has no width: nothing needs to be squeezed
        console.width = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    console.print(table)
    say(console, "p-value: of the fall, against a plateau with the same noise. first lead: steps before the onset.")


def _as_selected(a: Analysis) -> str:
    m = a.measures
    if a.trajectory.report is not None:
        return f", chosen on select ({m.peak_as_selected:.3f} there)"
    return " (the maximum of noisy values: biased up)" if a.classification.noise > 0 else ""


def _noise_source(a: Analysis) -> str:
    if a.trajectory.judged_error_S is not None:
        return "from the sample counts"
    return f"estimated from the curve, autocorrelation {a.classification.correlation:.2f}"


def _when(steps: int) -> str:
    if steps == 0:
        return "at the onset"
    return f"{abs(steps)} steps {'before' if steps > 0 else 'after'} the onset"
