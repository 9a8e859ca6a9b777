"""`crestfall analyze PATH...`: when did these runs peak, and was the fall real?"""

from __future__ import annotations

import argparse
import gc
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crestfall.cli.common import console_of, say
from crestfall.cli.numbers import count
from crestfall.core.entry import say as warn
from crestfall.core.errors import ConfigError, CrestfallWarning, InputError
from crestfall.core.registry import nearest

if TYPE_CHECKING:
    from rich.console import Console

    from crestfall.analysis.analyze import Analysis
    from crestfall.analysis.levels import Estimate

EXAMPLE = "crestfall analyze runs/two logs/trainer_state.json --metric eval_accuracy@480"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="run or study directory, log file (trainer_state.json, JSON, JSONL, CSV, TensorBoard, W&B, MLflow, "
        "notebook, console log), a directory of them, - for stdin, wandb://ENTITY/PROJECT/RUN",
    )
    add_log_arguments(parser)
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="write a report page for each run into this directory"
    )
    parser.add_argument(
        "--fail-on",
        action="append",
        metavar="CLASS[,CLASS...]",
        help="exit code 1 if a run is of one of these classes; collapse includes rise_and_collapse",
    )


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how foreign logs are read."""
    parser.add_argument(
        "--metric",
        action="append",
        metavar="KEY[,KEY...]",
        help="read these keys or globs of foreign logs as scores; KEY@N: N graded samples are behind each value "
        "(default: an evaluation, else the reward)",
    )
    parser.add_argument(
        "--samples",
        type=count(1, 10**9),
        metavar="N",
        help="how many graded samples are behind each value, so that its noise is known",
    )


def metrics_of(words: Sequence[str] | None) -> list[str] | None:
    """The keys of `--metric`, given several times or with commas."""
    return [key for word in words or () for key in word.split(",") if key] or None


def classes_of(words: Sequence[str] | None) -> set[str]:
    """The classes of `--fail-on`. Raises ConfigError for one that is not known."""
    from crestfall.analysis.classify import CLASSES

    asked = {word for words_ in words or () for word in words_.split(",") if word}
    for word in sorted(asked - set(CLASSES)):
        raise ConfigError(f"--fail-on {word}: no class{nearest(word, CLASSES)}; known: {', '.join(CLASSES)}")
    return asked | ({"rise_and_collapse"} if "collapse" in asked else set())


def run(args: argparse.Namespace) -> dict[str, Any]:
    from crestfall.analysis.analyze import analyze
    from crestfall.analysis.importers.load import load

    refused = classes_of(args.fail_on)
    with warnings.catch_warnings(record=True) as caught, _without_collection():
        warnings.simplefilter("always", CrestfallWarning)
        trajectories = load(args.paths, metrics_of(args.metric), args.samples)
        analyses = [analyze(trajectory) for trajectory in trajectories]
    for warning in caught:
        warn(str(warning.message))
    pages = [] if args.report is None else write_pages(analyses, args.report)
    if not args.json:
        console = console_of(args)
        if len(analyses) == 1:
            show(console, analyses[0])
        else:
            show_table(console, analyses)
        for page in pages:
            say(console, f"report   {page}")
    failed = [a.trajectory.name for a in analyses if a.classification.label in refused]
    if failed:
        warn(f"--fail-on: {len(failed)} of {len(analyses)} runs: {', '.join(failed)}")
    result = {"runs": [a.to_json() for a in analyses]}
    return result | ({"reports": [str(p) for p in pages]} if pages else {}) | ({"failed": failed} if refused else {})


@contextmanager
def _without_collection() -> Iterator[None]:
    """Long logs make many small objects and no circles of them: looking for some takes a sixth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def write_pages(analyses: Sequence[Analysis], directory: Path) -> list[Path]:
    """A page per run, named after it; a number goes before the name so that no two are the same. Of several runs there
    is one page over all of them, `index.html`, the last.

    Raises:
        InputError: the directory cannot be made or written to.
    """
    from crestfall.report import write_foreign
    from crestfall.report.many import write_index

    pages = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for i, a in enumerate(analyses, start=1):
            name = re.sub(r"[^\w.-]+", "_", a.trajectory.name)[:80]
            pages.append(write_foreign(a, directory / f"{i:03d}-{name}.html"))
        if len(pages) > 1:
            pages.append(write_index(analyses, pages, directory / "index.html"))
    except FileExistsError:
        raise InputError(f"--report {directory} is a file; expected a directory for the pages") from None
    except OSError as error:
        raise InputError(f"--report {directory}: cannot be written: {error.strerror or error}") from None
    return pages


def show(console: Console, a: Analysis) -> None:
    """Print the analysis of one run."""
    t, c, of = a.trajectory, a.classification, a.levels
    say(console, f"{t.name}: {c.label.replace('_', ' ')}", style="bold")
    say(console, f"summary  {a.headline}")
    say(console, f"metric   {t.metric}: {t.why}")
    say(console, f"steps    {len(t)} points from {t.steps_S[0]} to {a.measures.end_step}")
    say(console, f"start    {_interval(of.start)}")
    first, last = a.peak_steps
    as_good = f"; steps {first} to {last} are as good" if first < last else ""
    say(console, f"peak     {_interval(of.peak)} at step {a.peak_step}{_as_selected(a)}{as_good}")
    say(console, f"end      {_interval(of.end)}")
    smoothed = f", moving average of {c.smoothing} points" if c.smoothing > 1 else ""
    say(console, f"fall     {_interval(of.fall)}: 95% intervals{smoothed}")
    if of.fall.interval is not None:
        against = f"against a plateau with the same noise (sd {c.noise:.3f}, {_noise_source(a)})"
        say(console, f"p-value  {c.p_fall:.3f} {against}")
    if c.label == "crash_and_recovery":
        say(console, f"crash    a fall of {c.crash.depth:.3f} with recovery (p-value {c.crash.p_value:.3f})")
    if a.onset is not None:
        for_good = f"; below the peak by more than 0.1 for good from {a.onset_for_good}" if a.onset_for_good else ""
        say(console, f"onset    step {a.onset}: the fall begins{for_good}")
    if a.course is not None and a.course.cliff is not None:
        cliff = a.course.cliff
        word = "" if a.has_cliff else "none: "
        say(
            console,
            f"cliff    {word}{cliff.share:.0%} of the fall at one place, a straight fall up to {cliff.null_high:.0%} "
            f"(p-value {cliff.p_value:.3f})",
        )
    for lead in a.leads:
        say(console, f"lead     {lead.signal} broke {_when(lead.steps)} (p-value {lead.p_value:.3f})")
    if a.onset is not None and not a.leads:
        say(console, "lead     " + ("no companion signal broke" if t.signals else "no companion signals in this log"))
    for o in a.others:
        say(console, f"{o.role if o.role != 'evaluation' else 'also':<8} {_other(o)}")
    for line in a.cautions:
        say(console, f"caution  {line}")
    for note in t.notes:
        say(console, f"note     {note}")
    show_advice(console, a)


def show_advice(console: Console, a: Analysis) -> None:
    """Print the checkpoint to take, the likeliest causes, and what to change."""
    for i, line in enumerate(a.choice.lines()):
        say(console, f"{'take' if i == 0 else '':<8} {line}")
    if not a.advice.suspects:
        say(console, f"cause    {a.advice.says}")
    for i, suspect in enumerate(a.advice.suspects):
        cause = suspect.cause
        say(console, f"{'cause' if i == 0 else 'or':<8} {cause.title}", style="bold")
        for evidence in suspect.evidence:
            say(console, f"         evidence    {evidence.text}")
        say(console, f"         source      {cause.source}")
        say(console, f"         refuted by  {cause.refuted_by}")
        say(console, f"         change      {cause.change}")
    if a.advice.untested and not a.advice.says.startswith("no companion signal in"):
        missing = ", ".join(f"{c.name.replace('_', ' ')} ({' or '.join(c.signals)})" for c in a.advice.untested)
        say(console, f"untested {missing}: not in this log")


def _other(o: Any) -> str:
    of = o.classification.levels
    return (
        f"{o.metric}: {o.classification.label.replace('_', ' ')}, {of.start.value:z.3f} to {of.peak.value:z.3f} "
        f"(step {o.peak_step}) to {of.end.value:z.3f}"
    )


def _interval(e: Estimate) -> str:
    low_high = "noise unknown" if e.interval is None else f"{e.low:z.3f}, {e.high:z.3f}"
    return f"{e.value:z.3f} [{low_high}]"


def show_table(console: Console, analyses: Sequence[Analysis]) -> None:
    """Many runs, a row each."""
    from rich.measure import Measurement
    from rich.table import Table

    table = Table("run", "metric", "class", box=None, header_style="bold")
    for column in ("start", "peak", "step", "end", "gap", "p-value", "onset", "first lead", "take"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("likely cause", no_wrap=True)
    table.add_column("also", no_wrap=True)
    for a in analyses:
        c, of = a.classification, a.levels
        first = f"{a.leads[0].signal} {a.leads[0].steps:+d}" if a.leads else ""
        take = a.choice.take
        table.add_row(
            a.trajectory.name,
            a.trajectory.metric,
            c.label.replace("_", " "),
            *(f"{x:z.3f}" for x in (of.start.value, of.peak.value)),
            str(a.peak_step),
            *(f"{x:z.3f}" for x in (of.end.value, of.fall.value, c.p_fall)),
            "" if a.onset is None else str(a.onset),
            first,
            "" if take is None else str(take.step),
            (a.advice.cause or "").replace("_", " "),
            a.headline if a.others else "",
        )
    if not console.is_terminal:  # a file or a pipe has no width: nothing needs to be squeezed
        console.width = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    console.print(table)
    say(console, "start, peak, end: smoothed. p-value: of the fall, against a plateau with the same noise.")
    say(
        console,
        "onset: the step at which the fall begins. first lead: steps before it. take: step of the saved checkpoint.",
    )
    for line in dict.fromkeys(line for a in analyses for line in a.cautions):
        say(console, f"caution: {line}")


def _as_selected(a: Analysis) -> str:
    if a.trajectory.report is not None:
        return f", chosen on select ({a.measures.peak_as_selected:.3f} there)"
    return ""


def _noise_source(a: Analysis) -> str:
    if a.classification.known:
        return "from the sample counts"
    return f"estimated from the curve, autocorrelation {a.classification.correlation:.2f}"


def _when(steps: int) -> str:
    if steps == 0:
        return "as the fall began"
    return f"{abs(steps)} steps {'before' if steps > 0 else 'after'} the fall began"
