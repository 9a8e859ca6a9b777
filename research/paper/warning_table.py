"""Table of early warnings of a fall: every signal against the clock, over the arms that nothing stopped."""

from __future__ import annotations

from crestfall.analysis.trajectory import Run
from research.paper.arms import Results
from research.paper.parts import span
from research.paper.table import Column, Table, Value
from research.warning import CLOCK, SCORE, Moment, WarningSign, moments, warning_sign

WORDS = {CLOCK: "the clock (step number)", SCORE: "the score itself (select)"}


def warning_signs(results: Results) -> Table:
    """AUC of every signal, the best first; the clock and the score, which need no signal, on top."""
    columns = (
        Column("signal"),
        Column("moments", "count"),
        Column("overall", "two"),
        Column("within steps", "two"),
        Column("within steps 95% interval", "two", "interval"),
        Column("its change, within steps", "two"),
        Column("its change, within steps 95% interval", "two", "interval"),
    )
    found = uncontrolled(results)
    names = {name for m in found for name in m.values} - {CLOCK, SCORE}
    signs = {name: (warning_sign(name, found), warning_sign(name, found, "changes")) for name in (CLOCK, SCORE, *names)}
    order = (CLOCK, SCORE, *sorted(names, key=lambda name: (-max(map(_strength, signs[name])), name)))
    rows = tuple((WORDS.get(name, name), *_cells(name, found, *signs[name])) for name in order)
    arms = ", ".join(dict.fromkeys(m.arm for m in found))
    seeds = len({m.seed for m in found if m.falls})
    foot = (
        f"{sum(m.falls for m in found)} of {len(found)} moments precede a fall, in {seeds} seeds. A moment: a step "
        "within 5 points of the best on select so far; it precedes a fall if the score on report drops by 10 or more "
        "within three evaluations. Numbers are areas under the ROC curve: the chance that the signal is higher before "
        "a fall; 0.5 is worthless, below 0.5 low values warn. Within steps: moments of one arm, campaign and step are "
        "compared with each other alone, so that a signal gains nothing by growing with time. Change: since two steps "
        "before.",
        f"Arms without a controller: {arms or 'none is finished'}. Intervals resample whole seeds (what they cover: "
        "research.warning), and in so many rows some exclude 0.5 by chance.",
        results.standing,
    )
    return Table("warnings", "What warns of a fall", columns, rows, foot)


def uncontrolled(results: Results) -> list[Moment]:
    """The moments of all chains that neither a campaign's controller nor a chain's interfered with."""
    runs = [chain.run for arm in results.trained for chain in arm.chains if _is_uncontrolled(chain.run)]
    return [m for run in runs for i, t in enumerate(run.campaigns) for m in moments(run.method, run.seed, i, t)]


def _is_uncontrolled(run: Run) -> bool:
    return all(run.config.get(kind, {}).get("name", "none") == "none" for kind in ("control", "care"))


def _strength(sign: WarningSign) -> float:
    return 0.0 if sign.within is None else abs(sign.within.estimate - 0.5)


def _cells(name: str, found: list[Moment], level: WarningSign, change: WarningSign) -> tuple[Value, ...]:
    within = (None, None) if level.within is None or name == CLOCK else (level.within.estimate, span(level.within))
    new = (None, None) if change.within is None or name == CLOCK else (change.within.estimate, span(change.within))
    return sum(name in m.values for m in found), level.overall, *within, *new
