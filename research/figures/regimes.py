"""The regime map from its study: one row a cell and seed, as CSV and figure; as Markdown every cell, and what each
factor does alone.

    python -m research.figures.regimes RUNS/regime_map --out docs/regimes/map

An outcome is read off the last campaign, on report, with the peak chosen on select.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crestfall.analysis.measures import COLLAPSE, CampaignMeasures, measure_campaign
from crestfall.analysis.trajectory import Run, read_study
from crestfall.core.entry import guarded, script_parser
from crestfall.core.errors import InputError
from crestfall.store.files import write_atomic
from research.figures.regime_map import write_regime_map
from research.figures.regime_table import OUTCOMES, in_array

RISE = 0.10
"""A rise: the peak scores this much above the start. About three standard errors of a difference at 30 x 16 samples."""

_UPDATE = (
    "learning_rate",
    "warmup_updates",
    "baseline",
    "normalization",
    "minibatches",
    "logprob_temperature",
    "optimizer_state",
)


def outcome(measures: CampaignMeasures) -> str:
    """`rise_and_collapse`: rises, and ends more than 0.2 below its peak. `rise_and_hold`: rises, and does not.
    `dies`: no rise, and ends at less than half of its start. `no_rise`: anything else."""
    if measures.peak - measures.start >= RISE:
        return "rise_and_collapse" if measures.gap > COLLAPSE else "rise_and_hold"
    return "dies" if measures.end < measures.start / 2 else "no_rise"


def row(run: Run) -> dict[str, Any]:
    """One chain of the design. Its factors, outcome and the scores behind it, competence beside pass@1."""
    trajectory = run.campaigns[-1]
    measures = measure_campaign(trajectory)
    report, update = trajectory.report, run.config["update"]
    assert report is not None
    peak = list(trajectory.steps_S).index(measures.peak_step)
    return {
        "cell": run.method,
        **{name: update[name] for name in _UPDATE},
        "problems_per_step": run.config["campaign"]["problems_per_step"],
        "campaigns": run.config["chain"]["campaigns"],
        "seed": run.seed,
        "outcome": outcome(measures),
        "start": round(measures.start, 4),
        "peak": round(measures.peak, 4),
        "end": round(measures.end, 4),
        "start_competence": report[0].competence,
        "peak_competence": report[peak].competence,
        "end_competence": report[-1].competence,
    }


def rows(study: Path) -> list[dict[str, Any]]:
    """A row for every finished cell. Raises InputError where there is none."""
    found = [row(run) for run in read_study(study).runs if run.status == "done"]
    if not found:
        raise InputError(f"{study}: no finished cell")
    return sorted(found, key=lambda r: (r["cell"], r["seed"]))


def markdown(table: list[dict[str, Any]]) -> Iterator[str]:
    """One line a cell: its factors, and start / peak / end of every seed in points with its outcome."""
    names = [*_UPDATE, "problems_per_step", "campaigns"]
    varied = [name for name in names if len({r[name] for r in table}) > 1]
    yield "| cell | " + " | ".join(varied) + " | start / peak / end by seed (competence at peak) |"
    yield "|" + "---|" * (len(varied) + 2)
    for cell in dict.fromkeys(r["cell"] for r in table):
        of_cell = [r for r in table if r["cell"] == cell]
        seeds = "; ".join(
            f"{100 * r['start']:.0f} / {100 * r['peak']:.0f} / {100 * r['end']:.0f} "
            f"({_percent(r['peak_competence'])}) {r['outcome'].replace('_', ' ')}"
            for r in of_cell
        )
        yield f"| {cell} | " + " | ".join(str(of_cell[0][name]) for name in varied) + f" | {seeds} |"


def _percent(share: float | None) -> str:
    """Competence is not measured where problems have one way to be answered."""
    return "–" if share is None else f"{100 * share:.0f}"


def effects(table: list[dict[str, Any]]) -> Iterator[str]:
    """One line a level of each factor over the design's cells (`d..`), in which every other factor is balanced: how
    many chains had which outcome, and mean rise and gap in points."""
    design = [r for r in table if in_array(r["cell"])]
    yield (
        "| factor | level | chains | " + " | ".join(o.replace("_", " ") for o in OUTCOMES) + " | mean rise | mean gap |"
    )
    yield "|" + "---|" * (5 + len(OUTCOMES))
    for factor in (*_UPDATE, "problems_per_step"):
        levels = list(dict.fromkeys(r[factor] for r in design))
        for level in levels if len(levels) > 1 else ():
            at = [r for r in design if r[factor] == level]
            counts = " | ".join(str(sum(r["outcome"] == o for r in at)) for o in OUTCOMES)
            rise, gap = (100 * sum(r["peak"] - r[other] for r in at) / len(at) for other in ("start", "end"))
            yield f"| {factor} | {level} | {len(at)} | {counts} | {rise:.1f} | {gap:.1f} |"


def main() -> int:
    parser = script_parser("research.figures.regimes", __doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument(
        "--out", type=Path, required=True, help="stem of the files to write (.csv, .table.md, .effects.md, .svg, .pdf)"
    )
    args = parser.parse_args()
    table = rows(args.study)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    write_atomic(args.out.with_suffix(".table.md"), "\n".join(markdown(table)) + "\n")
    write_atomic(args.out.with_suffix(".effects.md"), "\n".join(effects(table)) + "\n")
    write_regime_map(args.out.with_suffix(".csv"), args.out)
    print(f"{len(table)} chains: {args.out}.csv .table.md .effects.md .svg .pdf")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
