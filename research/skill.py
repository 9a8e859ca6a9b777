"""The tables of docs/skill.md from studies of the skill testbed: did competence rise, and did it fall again?

    python -m research.skill SOURCE [SOURCE ...] --out docs/skill/judged

A source is a study directory, or a CSV that this command wrote: published chains need not be run again. The criteria
were written down before the regime was frozen. A **peak** is chosen on select and scored on report. *learns*: report
rises by 15 points or more from the first evaluation to the peak. *falls*: it ends more than 20 points below its peak.
Writes OUT.md and OUT.csv (every evaluation of every chain).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from crestfall.analysis.bootstrap import mean_interval, proportion_interval
from crestfall.analysis.compare import compare
from crestfall.analysis.measures import COLLAPSE
from crestfall.analysis.trajectory import Run, read_study
from crestfall.core.entry import guarded, script_parser
from crestfall.core.errors import InputError
from crestfall.core.passk import pass_at_k
from crestfall.core.rng import stream
from crestfall.core.types import Evaluation
from crestfall.store.files import write_atomic
from research.batch import BASE, points
from research.paper.chain import measure_chain

Row = Mapping[str, Any]
"""One evaluation of one chain; scores are fractions. `final_base`, `final`: pass@1 on the final set of the base policy
and of the weights that the chain hands on, the same in all rows of a chain."""

COLUMNS = ("method", "seed", "step", "select", "report", "competence", "pass_at_16", "final_base", "final")
LEARNS = 0.15
K = 16


@dataclass(frozen=True)
class Judged:
    """The campaign of one chain on report, in fractions. `many`: pass@16, at the same steps as pass@1."""

    seed: int
    start: float
    peak: float
    peak_step: int
    end: float
    many_start: float
    many_peak: float
    many_end: float

    @property
    def rise(self) -> float:
        return self.peak - self.start

    @property
    def learns(self) -> bool:
        return self.rise >= LEARNS

    @property
    def falls(self) -> bool:
        return self.peak - self.end > COLLAPSE


def pass_at_many(evaluation: Evaluation) -> float:
    """pass@16, or pass@n where fewer samples were drawn."""
    n = evaluation.n
    return pass_at_k([n] * len(evaluation.passed_P), evaluation.passed_P, min(K, n)).value


def judge(chain: Sequence[Row]) -> Judged:
    """Evaluations of one chain, by step."""
    peak = chain[int(np.argmax([float(row["select"]) for row in chain]))]
    many_start, many_peak, many_end = (float(row["pass_at_16"]) for row in (chain[0], peak, chain[-1]))
    start, end = float(chain[0]["report"]), float(chain[-1]["report"])
    at, step = float(peak["report"]), int(peak["step"])
    return Judged(int(chain[0]["seed"]), start, at, step, end, many_start, many_peak, many_end)


def rows_of(source: Path) -> list[Row]:
    """A row for every evaluation of every finished chain, in order. Raises InputError."""
    if source.is_file():
        with source.open(newline="", encoding="utf-8") as file:
            rows: list[Row] = list(csv.DictReader(file))
        if not rows or not set(COLUMNS) <= set(rows[0]):
            raise InputError(f"{source}: expected the columns {', '.join(COLUMNS)}")
        return rows
    finished = [run for runs in read_study(source).by_method().values() for run in runs if run.status == "done"]
    return [row for run in finished for row in _rows_of_chain(run)]


def _rows_of_chain(run: Run) -> Iterator[Row]:
    """Fractions, rounded to four digits. Raises InputError for a run without report sets."""
    campaign = run.campaigns[0]
    if campaign.report is None or campaign.select is None:
        raise InputError(f"{run.path}: no report set")
    end = measure_chain(run).end_of_chain
    finals = {
        "final_base": "" if run.base is None else round(run.base.evaluation.pass_at_1, 4),
        "final": "" if end is None else round(end, 4),
    }
    for step, select, report in zip(campaign.steps_S.tolist(), campaign.select, campaign.report, strict=True):
        yield {
            "method": run.method,
            "seed": run.seed,
            "step": step,
            "select": round(select.pass_at_1, 4),
            "report": round(report.pass_at_1, 4),
            "competence": "" if report.competence is None else round(report.competence, 4),
            "pass_at_16": round(pass_at_many(report), 4),
            **finals,
        }


def chains_of(rows: Iterable[Row]) -> dict[str, dict[int, list[Row]]]:
    """Evaluations by method and seed. Of a chain that is in two sources the last one counts."""
    out: dict[str, dict[int, list[Row]]] = {}
    for (method, seed), chain in groupby(rows, lambda row: (str(row["method"]), int(row["seed"]))):
        out.setdefault(method, {})[seed] = list(chain)
    return {method: dict(sorted(chains.items())) for method, chains in sorted(out.items())}


def arm_lines(arms: Mapping[str, Sequence[Judged]]) -> Iterator[str]:
    """A row an arm: means over seeds, on report; how many seeds learn, fall, do both, have less pass@16 at the peak."""
    yield "| arm | seeds | start | peak | end | learns | falls | both | pass@16 start / peak / end | pass@16 lower |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for arm, judged in arms.items():
        counts = [str(sum(held)) for held in _counted(judged).values()]
        lower = str(sum(j.many_peak < j.many_start for j in judged))
        cells = [arm, str(len(judged)), *_means(judged, ""), *counts, " / ".join(_means(judged, "many_")), lower]
        yield f"| {' | '.join(cells)} |"


def _means(judged: Sequence[Judged], prefix: str) -> list[str]:
    return [points(float(np.mean([getattr(j, prefix + at) for j in judged]))) for at in ("start", "peak", "end")]


def _counted(judged: Sequence[Judged]) -> dict[str, list[bool]]:
    """Whether each seed meets each criterion: {criterion: [met by seed]}."""
    return {
        "learns": [j.learns for j in judged],
        "falls": [j.falls for j in judged],
        "both": [j.learns and j.falls for j in judged],
    }


def seed_lines(arm: str, judged: Sequence[Judged]) -> Iterator[str]:
    """A row a seed of one arm."""
    yield f"| {arm}, seed | start | peak @ step | end | rise | fall | pass@16 start / peak / end |"
    yield "|---|---|---|---|---|---|---|"
    for j in judged:
        many = " / ".join(map(points, (j.many_start, j.many_peak, j.many_end)))
        yield (
            f"| {j.seed} | {points(j.start)} | {points(j.peak)} @ {j.peak_step} | {points(j.end)} "
            f"| {points(j.rise)} | {points(j.peak - j.end)} | {many} |"
        )


def verdict(arm: str, judged: Sequence[Judged]) -> str:
    """Number of seeds that learn and that collapse, with exact intervals; mean rise with its interval over seeds."""
    rises = np.array([j.rise for j in judged])
    out = f"{arm}: pass@1 rises by {points(float(rises.mean()))} points"
    if len(set(rises.tolist())) > 1:
        interval = mean_interval(rises, stream("paper", "end of chain", f"{arm} rise"))
        out += f" (95%: {points(interval.low)} to {points(interval.high)})"
    for what, held in _counted(judged).items():
        exact = proportion_interval(sum(held), len(held))
        out += f"; {what}: {sum(held)} of {len(held)} seeds (exact 95% interval {exact.low:.2f} to {exact.high:.2f})"
    return out + "."


def final_lines(ends: Mapping[str, Mapping[int, float]], reference: str) -> Iterator[str]:
    """Every arm on the final set, then each against the reference, paired by seed."""
    yield "| arm | pass@1 on the final set, mean | by seed |"
    yield "|---|---|---|"
    for arm, scores in ends.items():
        values = [scores[seed] for seed in sorted(scores)]
        yield f"| {arm} | {points(float(np.mean(values)))} | {', '.join(map(points, values))} |"
    own = ends.get(reference, {})
    others = {arm: scores for arm, scores in ends.items() if arm != reference and len(set(scores) & set(own)) > 1}
    if not others:
        return
    yield from (
        "",
        f"| paired with {reference} | mean difference | 95% interval | what may be said |",
        "|---|---|---|---|",
    )
    for c in compare(reference, own, others):
        low, high = points(c.interval.low), points(c.interval.high)
        yield f"| {c.arm} - {reference} | {points(c.mean_difference)} | {low} to {high} | {c.claim} |"


def finals_of(chains: Mapping[str, Mapping[int, Sequence[Row]]]) -> dict[str, dict[int, float]]:
    """End of chain on the final set by method and seed; the base policy is one more method."""
    ends: dict[str, dict[int, float]] = {}
    base: dict[int, float] = {}
    for method, by_seed in chains.items():
        for seed, chain in by_seed.items():
            if chain[0]["final"] != "" and chain[0]["final_base"] != "":
                ends.setdefault(method, {})[seed] = float(chain[0]["final"])
                base[seed] = float(chain[0]["final_base"])
    return {**ends, BASE: base}


def report(chains: Mapping[str, Mapping[int, Sequence[Row]]], reference: str = "steady") -> list[str]:
    """The chains in Markdown."""
    arms = {method: [judge(chain) for chain in by_seed.values()] for method, by_seed in chains.items()}
    lines = [*arm_lines(arms), "", *(f"- {verdict(arm, judged)}" for arm, judged in arms.items())]
    for arm, judged in arms.items():
        lines += ["", *seed_lines(arm, judged)]
    return [*lines, "", *final_lines(finals_of(chains), reference)]


def main(argv: Sequence[str] | None = None) -> int:
    parser = script_parser("research.skill", __doc__)
    parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE")
    parser.add_argument("--out", type=Path, help="stem of the .md and .csv to write as well")
    args = parser.parse_args(argv)
    chains = chains_of(row for source in args.sources for row in rows_of(source))
    if not chains:
        raise InputError(f"{', '.join(map(str, args.sources))}: no finished chain")
    lines = report(chains)
    print("\n".join(lines))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(args.out.with_suffix(".md"), "\n".join(lines) + "\n")
        with args.out.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(row for by_seed in chains.values() for chain in by_seed.values() for row in chain)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
