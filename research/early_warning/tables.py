"""The tables of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from research.early_warning.ceiling import fallen, oracle, spread_of
from research.early_warning.entries import Entry
from research.early_warning.outcome import early_stop, ends, kept_best, mean, stopped
from research.early_warning.panel import FloatArray, IntArray, Panel
from research.early_warning.states import AHEAD, FORKS, State
from research.paper.table import Column, Table, Value

SHOWN = 15
OUTCOME = (
    Column("falls announced", "two"),
    Column("95%", "two", "interval"),
    Column("false alarms a run", "two"),
    Column("95% ", "two", "interval"),
    Column("difference", "two"),
    Column("lead, steps", "number"),
)


def falls(panel: Panel) -> Table:
    columns = (
        Column("regime"),
        *(Column(name, "count") for name in ("chains", "fall", "at step 1")),
        Column("median step of the others", "number"),
    )
    rows = tuple(
        (regime, *_counts(panel, panel.regimes_C == regime)) for regime in dict.fromkeys(panel.regimes_C.tolist())
    )
    total = ("all", *_counts(panel, np.ones(len(panel.chains), dtype=bool)))
    note = (
        "A chain falls at the first step at which its score on report, and the next one, is at least 15 points below "
        "the highest so far. Before step 1 nothing has been measured, so no signal can announce a fall there."
    )
    return Table("falls", "Chains and falls", columns, (*rows, total), (note,))


def signals(entries: Sequence[Entry], shown: int | None = None) -> Table:
    columns = (
        *(Column("signal"), *OUTCOME, Column("difference if chains of an arm exchange it", "two")),
        *(Column("AUC within arm and step", "two"), Column("95%  ", "two", "interval")),
    )
    rows = tuple((e.name, *_outcome(e), e.swapped, *_within(e)) for e in entries[:shown])
    note = (
        "Each regime is announced with what the others taught (median and spread at each step, threshold, direction). "
        "Falls announced: of the falls after step 1. False alarms a run: chains with an alarm, of those that never "
        "fall; the threshold allows 5%. Difference: the one less the other; 0 is chance. Lead: median. Exchanged: each "
        "chain gets the signal of another seed in the same regime at the same rate, so what is left is what the arm "
        "gives away. AUC: the chance that the signal is higher at a landmark with a fall within three steps than at "
        "one without of the same arm and step (0.5: chance, whatever the threshold; below it low values warn); its "
        "interval resamples seeds, the others regimes. Change: since two steps before."
    )
    kept = "" if shown is None or shown >= len(entries) else f" The best {shown} of {len(entries)} are shown."
    return Table("signals", "Signals, one at a time", columns, rows, (note + kept,))


def rules(several: Sequence[Entry], public: Sequence[Entry]) -> Table:
    columns = (Column("rule"), *OUTCOME)
    rows = tuple((e.name, *_outcome(e)) for e in (*several, *public))
    note = (
        "The first two are fitted to the other regimes (logistic regression on all levels and changes; the signal with "
        "the greatest difference there). The others have fixed thresholds and look at one signal each."
    )
    return Table("rules", "Combinations, and public rules of thumb", columns, rows, (note,))


def placebos(by_kind: Mapping[str, Sequence[Entry]]) -> Table:
    columns = (
        Column("placebo"),
        Column("tried", "count"),
        Column("falls announced, mean", "two"),
        Column("false alarms a run, mean", "two"),
        Column("difference, mean", "two"),
        Column("difference, best", "two"),
    )
    rows = tuple((kind, len(entries), *_summary(entries)) for kind, entries in by_kind.items())
    return Table("placebos", "Placebos in the same pipeline", columns, rows, ())


def acting(entries: Sequence[Entry], panel: Panel) -> Table:
    """What each alarm is worth, beside doing nothing, keeping the best, and stopping by score."""
    columns = (
        Column("stops at"),
        Column("end", "points"),
        Column("above no action", "points"),
        Column("95%", "points", "interval"),
        Column("above early stop", "points"),
        Column("95% ", "points", "interval"),
        Column("above keeping the best", "points"),
        Column("95%  ", "points", "interval"),
        Column("if silent: last weights", "points"),
        Column("steps trained", "number"),
    )
    last_C, stop_C = panel.length_C, early_stop(panel)
    none_C, best_C, early_C = ends(panel), kept_best(panel, last_C), kept_best(panel, stop_C)

    def row(name: str, end_C: FloatArray, steps_C: IntArray, silent_C: FloatArray | None = None) -> tuple[Value, ...]:
        every = np.ones(len(panel.chains), dtype=bool)
        against = [mean(end_C - other_C, every, panel) for other_C in (none_C, early_C, best_C)]
        cells = [value for pair in against for value in pair]
        silent = None if silent_C is None else float(silent_C.mean())
        return (name, float(end_C.mean()), *cells, silent, float(steps_C.mean()))

    rows = [
        row("no action: the last step", none_C, last_C),
        row("no stop: the best step is kept", best_C, last_C),
        row("early stop (three steps without a better score)", early_C, stop_C),
    ]
    for e in entries:
        until_C = stopped(e.alarm_C, panel)
        end_C = kept_best(panel, until_C)
        rows.append(row(e.name, end_C, until_C, np.where(e.alarm_C > 0, end_C, none_C)))
    note = (
        "Scores on report, means over all chains; best: on select. A chain is stopped at the alarm and hands on its "
        "best step so far; without an alarm its best step of all (and in the column before the last its last step). "
        "Intervals resample regimes."
    )
    return Table("acting", "Points saved by acting", columns, tuple(rows), (note,))


def ceiling(states: Sequence[State]) -> Table:
    columns = (
        Column("the chain itself"),
        Column("states", "count"),
        Column("forks", "count"),
        Column("forks that fall", "two"),
        *(Column(name, "count") for name in ("states: none falls", "some fall", "all fall")),
    )
    groups: dict[str, list[State]] = {}
    for state in sorted(states, key=lambda s: (s.falls_in is None, s.falls_in or 0)):
        name = "does not fall" if state.falls_in is None else f"falls {state.falls_in} step(s) later"
        groups.setdefault(name, []).append(state)
    rows = tuple((name, len(g), FORKS * len(g), *_forks(g)) for name, g in groups.items())
    knowing, split = oracle(states)
    note = (
        f"A fork falls if its score on report is at least 15 points below the chain's highest both {AHEAD - 1} and "
        f"{AHEAD} steps later. An oracle that knows each state's share announces {knowing:.2f} of the falling forks "
        f"with false alarms in 5% of the others; with the share taken from half of the forks and scored on the other "
        f"half, {split:.2f}."
    )
    return Table("ceiling", f"Eight futures of one state ({len(states)} states)", columns, rows, (note,))


def _forks(states: Sequence[State]) -> tuple[Value, ...]:
    shares_N = fallen(states).mean(axis=1)
    return float(shares_N.mean()), *spread_of(shares_N)


def _counts(panel: Panel, among_C: np.ndarray) -> tuple[Value, ...]:
    falls_C = panel.falls_C[among_C]
    later = falls_C[falls_C > 1]
    middle = float(np.median(later)) if len(later) else None
    return int(among_C.sum()), int(np.count_nonzero(falls_C)), int(np.count_nonzero(falls_C == 1)), middle


def _outcome(e: Entry) -> tuple[Value, ...]:
    o = e.outcome
    return o.announced, o.announced_interval, o.false_alarms, o.false_alarms_interval, o.worth, o.lead


def _within(e: Entry) -> tuple[Value, ...]:
    return (None, None) if e.within is None else (e.within.estimate, (e.within.low, e.within.high))


def _summary(entries: Sequence[Entry]) -> tuple[Value, ...]:
    announced, false, worth = (
        [getattr(e.outcome, name) for e in entries] for name in ("announced", "false_alarms", "worth")
    )
    return float(np.mean(announced)), float(np.mean(false)), float(np.mean(worth)), float(np.max(worth))
