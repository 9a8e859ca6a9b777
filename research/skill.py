"""The tables of docs/skill.md from a study of the skill testbed: did competence rise, and did it fall again?

    python -m research.skill RUNS/skill --out docs/skill/judged

The criteria were written down before the regime was frozen. A **peak** is chosen on select and scored on report.
*learns*: report rises by 15 points or more from the first evaluation to the peak. *falls*: it ends more than 20 points
below its peak. Writes OUT.md and OUT.csv (every evaluation of every chain).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crestfall.analysis.bootstrap import end_interval, proportion_interval
from crestfall.analysis.compare import compare
from crestfall.analysis.measures import COLLAPSE, measure_campaign
from crestfall.analysis.trajectory import Run, Study, read_study
from crestfall.core.entry import guarded, script_parser
from crestfall.core.errors import InputError
from crestfall.core.passk import pass_at_k
from crestfall.core.types import Evaluation
from crestfall.store.files import write_atomic
from research.batch import ends_of_chain, points

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


def judge(run: Run) -> Judged:
    """Raises InputError for a run without report sets."""
    campaign = run.campaigns[0]
    if campaign.report is None:
        raise InputError(f"{run.path}: no report set")
    m = measure_campaign(campaign)
    peak = campaign.steps_S.tolist().index(m.peak_step)
    many_start, many_peak, many_end = (pass_at_many(campaign.report[s]) for s in (0, peak, -1))
    return Judged(run.seed, m.start, m.peak, m.peak_step, m.end, many_start, many_peak, many_end)


def curves(study: Study) -> Iterator[dict[str, Any]]:
    """A row for every evaluation of every finished chain."""
    for run in _finished(study):
        campaign = run.campaigns[0]
        assert campaign.select is not None and campaign.report is not None  # noqa: PT018
        for step, select, report in zip(campaign.steps_S.tolist(), campaign.select, campaign.report, strict=True):
            yield {
                "method": run.method,
                "seed": run.seed,
                "step": step,
                "select": round(select.pass_at_1, 4),
                "report": round(report.pass_at_1, 4),
                "competence": "" if report.competence is None else round(report.competence, 4),
                "pass_at_16": round(pass_at_many(report), 4),
            }


def _finished(study: Study) -> list[Run]:
    return [run for runs in study.by_method().values() for run in runs if run.status == "done"]


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
        interval = end_interval(f"{arm} rise", rises)
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


def report(study: Study, reference: str = "steady") -> list[str]:
    """The study in Markdown. Raises InputError without a finished chain."""
    arms = {method: [judge(run) for run in runs if run.status == "done"] for method, runs in study.by_method().items()}
    arms = {arm: sorted(judged, key=lambda j: j.seed) for arm, judged in arms.items() if judged}
    if not arms:
        raise InputError(f"{study.path}: no finished chain")
    lines = [*arm_lines(arms), "", *(f"- {verdict(arm, judged)}" for arm, judged in arms.items())]
    for arm, judged in arms.items():
        lines += ["", *seed_lines(arm, judged)]
    return [*lines, "", *final_lines(ends_of_chain(study), reference)]


def main(argv: Sequence[str] | None = None) -> int:
    parser = script_parser("research.skill", __doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, help="stem of the .md and .csv to write as well")
    args = parser.parse_args(argv)
    study = read_study(args.study)
    lines = report(study)
    print("\n".join(lines))
    if args.out:
        rows = list(curves(study))
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(args.out.with_suffix(".md"), "\n".join(lines) + "\n")
        with args.out.with_suffix(".csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
