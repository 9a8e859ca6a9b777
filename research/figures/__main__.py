"""All figures at once: `python -m research.figures study DIR OUT` or `python -m research.figures regime CSV OUT`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from crestfall.analysis.trajectory import read_run, read_study
from crestfall.core.entry import guarded, script_parser
from crestfall.store.layout import is_run
from research import figures


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 usage or bad input (one line on stderr)."""
    parser = script_parser("research.figures", __doc__)
    what = parser.add_subparsers(dest="what", required=True)
    for name, source in (("study", "run or study directory"), ("regime", "CSV, one row per cell and seed")):
        sub = what.add_parser(name)
        sub.add_argument("source", type=Path, help=source)
        sub.add_argument("out", type=Path, help="directory to write to")
    args = parser.parse_args(argv)
    written = study(args.source, args.out) if args.what == "study" else regime(args.source, args.out)
    print("\n".join(str(path) for saved in written for path in (saved.svg, saved.pdf)))
    return 0


def regime(source: Path, out: Path) -> list[figures.Saved]:
    return [figures.write_regime_map(source, out / "regime_map")]


def study(source: Path, out: Path) -> list[figures.Saved]:
    """The figures of a run or a study: first campaign, aligned campaigns, oracles, end of chain where there is one."""
    runs = [read_run(source)] if is_run(source) else list(read_study(source).runs)
    methods = {run.method: sorted((r for r in runs if r.method == run.method), key=lambda r: r.seed) for run in runs}
    drawn = {
        "aligned": figures.aligned(methods, figures.onsets_under_null(methods)),
        "oracles": figures.oracles(methods),
    }
    first = next(run for run in runs if run.campaigns)
    drawn["single_run"] = figures.single_run(first.campaigns[0], f"{first.method}, seed {first.seed}, campaign 1")
    ends = figures.end_of_chain(methods)
    if ends:
        bases = [f.evaluation.pass_at_1 for run in runs if (f := run.base)]
        note = "dots: seeds; lines: 95% studentised bootstrap over seeds, from four seeds on"
        drawn["end_of_chain"] = figures.intervals(ends, sum(bases) / len(bases) if bases else None, note)
    return [figures.save(figure, out / name) for name, figure in drawn.items()]


if __name__ == "__main__":
    sys.exit(guarded(main))
