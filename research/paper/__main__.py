"""Make the paper's tables and figures of a study: `python -m research.paper runs/study --out docs/study`.

Writes every table as .md, .tex and .csv, cells.csv, and every figure as .svg and .pdf into OUT; where OUT.md exists,
its marked blocks are filled with the tables. Works on a study in progress: only finished chains count, and every table
says how many there are.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from crestfall.core.entry import guarded, script_parser
from crestfall.store.files import write_atomic, writing
from research.paper.arm_tables import arms, free
from research.paper.arms import Results, read_results
from research.paper.campaign_tables import table01, table11, table16
from research.paper.capability_tables import capability, forgetting, table02
from research.paper.cells import cells
from research.paper.chain_tables import table04, table06, table07, table08, table10, table12
from research.paper.oracle_tables import table09, table09_oracles
from research.paper.page import fill
from research.paper.table import Table, comma_separated, latex, markdown
from research.paper.warning_table import warning_signs

TABLES: tuple[Callable[[Results], Table], ...] = (
    *(arms, free, capability, forgetting, table01, table02, table04, table06, table07, table08),
    *(table09, table09_oracles, table10, table11, table12, table16, warning_signs),
)


def write_tables(results: Results, out: Path) -> dict[str, str]:
    """Every table in its three formats. Returns the Markdown of each by name, for a page."""
    blocks: dict[str, str] = {}
    for make in TABLES:
        table = make(results)
        blocks[table.name] = markdown(table)
        for suffix, text in ((".md", markdown(table)), (".tex", latex(table)), (".csv", comma_separated(table))):
            write_atomic(out / f"{table.name}{suffix}", text)
    write_atomic(out / "cells.csv", comma_separated(cells(results)))
    return blocks


def make(study: Path, out: Path, page: Path, figures: bool = True) -> str:
    """All of it. Returns what was done, in a line. Raises CrestfallError."""
    started = time.monotonic()
    results = read_results(study)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    blocks = write_tables(results, out)
    if page.is_file():
        write_atomic(page, fill(page.read_text(encoding="utf-8"), blocks))
    if figures:
        from research.paper.draw import draw

        draw(results, out)
    chains = sum(arm.n for arm in results.trained)
    return f"{chains} chains in {time.monotonic() - started:.1f} s. {results.standing} {out}"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 usage or bad input (one line on stderr)."""
    parser = script_parser("research.paper", __doc__)
    parser.add_argument("study", type=Path, help="study directory")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where tables and figures go")
    parser.add_argument("--page", type=Path, metavar="F", help="page with marked blocks to fill (default: OUT.md)")
    parser.add_argument("--no-figures", action="store_true", help="tables only (needs no matplotlib)")
    args = parser.parse_args(argv)
    page = args.page or args.out.with_name(args.out.name + ".md")
    print(make(args.study, args.out, page, figures=not args.no_figures))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
