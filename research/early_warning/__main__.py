"""The page on early warning: `python -m research.early_warning SOURCE [SOURCE ...] --out docs/early_warning`.

A source is a study directory whose methods are named REGIME.ARM, or a file of published chains. Chains that something
interfered with, and those with fewer than 200 samples on report, are left out.

Writes the chains as chains.jsonl and every table as .csv; where OUT.md exists, its marked blocks are filled. Forks of
states, if there are any, are read from OUT/forks.jsonl (`python -m research.early_warning.forks` makes them).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from crestfall.core.entry import guarded, script_parser
from crestfall.store.files import write_atomic, writing
from research.early_warning import tables
from research.early_warning.chains import CHAINS_FILE, chain_lines, read_all
from research.early_warning.entries import placebos, public, several, signals_of, single
from research.early_warning.panel import Panel
from research.early_warning.states import FORKS_FILE, read_states
from research.paper.page import fill
from research.paper.table import comma_separated, markdown

BEST = 5
"""Signals that the table of actions shows; which they are is hindsight."""


def make(sources: Sequence[Path], out: Path) -> str:
    """All of it. Returns what was done, in a line. Raises CrestfallError."""
    panel = Panel(tuple(read_all(sources)))
    signals = signals_of(panel)
    ranked, combined, known = single(signals, panel), several(signals, panel), public(panel)
    full = [
        tables.falls(panel),
        tables.signals(ranked),
        tables.rules(combined, known),
        tables.placebos(placebos(signals, panel)),
        tables.acting([*combined, *known, *ranked], panel),
    ]
    forks = out / FORKS_FILE
    if forks.exists():
        full.append(tables.ceiling(read_states(forks)))
    shown = [tables.signals(ranked, tables.SHOWN), tables.acting([*combined, *known, *ranked[:BEST]], panel)]
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / CHAINS_FILE, chain_lines(panel.chains))
    for table in full:
        write_atomic(out / f"{table.name}.csv", comma_separated(table))
    page = out.with_name(out.name + ".md")
    if page.is_file():
        blocks = {table.name: markdown(table) for table in [*full, *shown]}
        write_atomic(page, fill(page.read_text(encoding="utf-8"), blocks))
    regimes = len(set(panel.regimes_C[panel.falls_C > 0].tolist()))
    fallen = int((panel.falls_C > 0).sum())
    return f"{len(panel.chains)} chains, {fallen} falls in {regimes} regimes, {len(signals)} signals: {out}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = script_parser("research.early_warning", __doc__)
    parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE", help="study directory, or published chains")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where tables and chains go")
    args = parser.parse_args(argv)
    print(make(args.sources, args.out))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
