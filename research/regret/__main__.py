"""The page of a regret study: `python -m research.regret runs/regret --out docs/regret`.

Several sources are read as one: `python -m research.regret docs/regret/chains.jsonl runs/mine --out runs/page` puts a
method of one's own beside the published chains.

Writes score, regimes, pairs and ends as .md and .csv, the short table for a README as table.md, the chains as
chains.jsonl, and the figures; where OUT.md exists, its marked blocks are filled. Works on a study in progress: only
finished chains count.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from crestfall.core.entry import guarded, script_parser
from crestfall.core.errors import CrestfallError, InputError
from crestfall.store.files import write_atomic, writing
from research.paper.page import fill
from research.paper.table import comma_separated, markdown
from research.regret import tables
from research.regret.cells import CHAINS_FILE, chain_lines, read_all
from research.regret.scores import entries, references
from research.regret.short import short


def make(sources: Sequence[Path], out: Path, figures: bool = True) -> str:
    """All of it. Returns what was done, in a line. Raises CrestfallError."""
    cells = read_all(sources)
    found = references(cells)
    if not found:
        raise InputError(f"{sources[0]}: no regime has both a grid and its best arm run again on seeds that score")
    ranked = entries(cells, found)
    made = (
        *(tables.score(ranked, found), tables.by_regime(ranked, found), tables.pairs(ranked), tables.ends(ranked)),
        short(ranked, found),
    )
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    for table in made:
        if table.name != "ends":
            write_atomic(out / f"{table.name}.md", markdown(table))
        if table.name != "table":
            write_atomic(out / f"{table.name}.csv", comma_separated(table))
    write_atomic(out / CHAINS_FILE, chain_lines(cells))
    page = out.with_name(out.name + ".md")
    if page.is_file():
        write_atomic(page, fill(page.read_text(encoding="utf-8"), {t.name: markdown(t) for t in made}))
    if figures:
        from research.regret.draw import draw

        draw(ranked, found, out)
    return f"{len(cells)} chains, {len(found)} regimes with a reference, {len(ranked)} entries: {out}"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 usage or bad input (one line on stderr)."""
    parser = script_parser("research.regret", __doc__)
    parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE", help="study directory, or published chains")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where tables and figures go")
    parser.add_argument("--no-figures", action="store_true", help="tables only (needs no matplotlib)")
    args = parser.parse_args(argv)
    try:
        print(make(args.sources, args.out, figures=not args.no_figures))
    except CrestfallError as error:
        print(f"crestfall: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
