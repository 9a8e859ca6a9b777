"""Judge a regime on a batch of seeds: does naive training rise and collapse, and what do the other arms end with?

    python -m research.batch RUNS/batch --out docs/batches/1

Says, for the first campaign of every naive chain, whether it rose by 15 points and then fell by more than 20 (peak
chosen on select, scored on report), the proportion with its exact interval beside both nulls, how much of the rise was
convention and how much competence, and every arm's end of chain on the final set, paired by seed. The untouched base
policy is an arm that costs nothing. Needs two seeds.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from crestfall.analysis.bootstrap import end_interval, proportion_interval
from crestfall.analysis.compare import compare
from crestfall.analysis.measures import COLLAPSE, measure_campaign
from crestfall.analysis.null import against_null
from crestfall.analysis.trajectory import Run, Study, Trajectory, read_study
from crestfall.core.entry import guarded, script_parser
from crestfall.core.errors import InputError
from crestfall.core.rng import stream
from crestfall.core.types import Evaluation
from crestfall.store.files import write_atomic
from research.paper.chain import measure_chain

RISE = 0.15
BASE = "base policy"


@dataclass(frozen=True)
class Campaign:
    """The first campaign of one chain, scored on report, in fractions."""

    seed: int
    start: float
    peak: float
    peak_step: int
    end: float
    gap: float
    start_competence: float
    peak_competence: float
    end_competence: float
    rises: bool
    falls: bool
    final_start_competence: float | None = None
    """Competence of the base policy on the final set."""
    final_end_competence: float | None = None
    """Competence on the final set at the end of the chain."""

    @property
    def rises_and_falls(self) -> bool:
        return self.rises and self.falls


def judge(run: Run) -> Campaign:
    trajectory = run.campaigns[0]
    m = measure_campaign(trajectory)
    assert trajectory.report is not None
    competence = [_competence(e, run) for e in trajectory.report]
    peak = trajectory.steps_S.tolist().index(m.peak_step)
    end = run.final(len(run.campaigns) - 1, "handed_on")
    return Campaign(
        seed=run.seed,
        start=m.start,
        peak=m.peak,
        peak_step=m.peak_step,
        end=m.end,
        gap=m.gap,
        start_competence=competence[0],
        peak_competence=competence[peak],
        end_competence=competence[-1],
        rises=m.peak - m.start >= RISE,
        falls=m.gap > COLLAPSE,
        final_start_competence=None if run.base is None else run.base.evaluation.competence,
        final_end_competence=None if end is None else end.evaluation.competence,
    )


def _competence(evaluation: Evaluation, run: Run) -> float:
    if evaluation.competence is None:
        raise InputError(f"{run.path}: a batch needs competence, which is measured on builtin problems alone")
    return evaluation.competence


def ends_of_chain(study: Study) -> dict[str, dict[int, float]]:
    """End of chain by method and seed, finished chains from the base policy only, which is one more method."""
    ends: dict[str, dict[int, float]] = {}
    base: dict[int, float] = {}
    for method, runs in study.by_method().items():
        for run in runs:
            end = measure_chain(run).end_of_chain
            if run.status == "done" and end is not None and run.base is not None:
                ends.setdefault(method, {})[run.seed] = end
                base[run.seed] = run.base.evaluation.pass_at_1
    return {**ends, BASE: base}


def competence_line(study: Study) -> str:
    """Mean competence on the final set by arm: what is left of a rise when no answering convention counts."""
    ends: dict[str, dict[int, float]] = {BASE: {}}
    for method, runs in study.by_method().items():
        for run in runs:
            base, end = run.base, run.final(len(run.campaigns) - 1, "handed_on")
            if run.status == "done" and base is not None and end is not None:
                ends[BASE][run.seed] = _competence(base.evaluation, run)
                ends.setdefault(method, {})[run.seed] = _competence(end.evaluation, run)
    means = ", ".join(f"{arm} {points(float(np.mean(list(by_seed.values()))))}" for arm, by_seed in ends.items())
    return f"Mean competence at the end of the chain, on the final set: {means}."


def points(value: float) -> str:
    return f"{100 * value:.1f}"


def campaign_lines(campaigns: Sequence[Campaign]) -> Iterator[str]:
    yield "| seed | start | peak @ step | end | gap | competence start / peak / end | rises and falls |"
    yield "|---|---|---|---|---|---|---|"
    for c in campaigns:
        competence = " / ".join(points(x) for x in (c.start_competence, c.peak_competence, c.end_competence))
        yield (
            f"| {c.seed} | {points(c.start)} | {points(c.peak)} @ {c.peak_step} | {points(c.end)} | {points(c.gap)} "
            f"| {competence} | {'yes' if c.rises_and_falls else 'no'} |"
        )


def proportion_lines(campaigns: Sequence[Campaign], trajectories: Sequence[Trajectory]) -> Iterator[str]:
    successes, n = sum(c.rises_and_falls for c in campaigns), len(campaigns)
    exact = proportion_interval(successes, n)
    null = against_null(trajectories, stream("batch nulls"))
    rise = np.mean([c.peak - c.start for c in campaigns])
    competence = np.mean([c.peak_competence - c.start_competence for c in campaigns])
    yield (
        f"On **{successes} of {n}** seeds naive training rises by at least {points(RISE)} points and then falls by "
        f"more than {points(COLLAPSE)} (exact 95% interval of the share: {exact.low:.2f} to {exact.high:.2f})."
    )
    yield (
        f"The mean gap (peak minus end; larger is worse) is {points(null.gap.observed)} points. Evaluation noise alone "
        f"would give {points(null.gap_flat.null_mean)} on a flat curve (95%: {points(null.gap_flat.null_low)} to "
        f"{points(null.gap_flat.null_high)}) and {points(null.gap.null_mean)} on a curve that rises and stays "
        f"({points(null.gap.null_low)} to {points(null.gap.null_high)}). The collapse rate is "
        f"{null.collapse_rate.observed:.2f}; noise alone would give {null.collapse_rate_flat.null_mean:.3f} and "
        f"{null.collapse_rate.null_mean:.3f}."
    )
    yield (
        f"Of the mean rise of {points(float(rise))} points, {points(float(competence))} come from more right values "
        f"(competence) and {points(float(rise - competence))} from the answer style (`return` for `print`)."
    )


def arm_lines(ends: Mapping[str, Mapping[int, float]]) -> Iterator[str]:
    """Every arm with its interval over seeds, then ES against each of them, paired by seed."""
    yield "| arm | end of chain, mean | 95% interval over seeds (measured coverage) | by seed |"
    yield "|---|---|---|---|"
    for arm, scores in ends.items():
        values = [scores[seed] for seed in sorted(scores)]
        if len(set(values)) == 1:
            shown = "the same for every seed"
        else:
            interval = end_interval(arm, np.array(values))
            coverage = "" if interval.coverage is None else f" ({interval.coverage:.2f})"
            shown = f"{points(interval.low)} to {points(interval.high)}{coverage}"
        yield f"| {arm} | {points(float(np.mean(values)))} | {shown} | {', '.join(points(v) for v in values)} |"
    yield ""
    yield "| paired difference | mean | 95% interval | seeds up | conclusion |"
    yield "|---|---|---|---|---|"
    if "es" in ends:  # one family for Holm: every arm against ES, told the other way round
        for c in compare("es", ends["es"], {arm: scores for arm, scores in ends.items() if arm != "es"}):
            low, high = points(-c.interval.high), points(-c.interval.low)
            gains = sum(difference < 0 for difference in c.differences)
            yield (
                f"| es - {c.arm} | {points(-c.mean_difference)} | {low} to {high} | {gains} of {len(c.seeds)} "
                f"| {c.claim} |"
            )


def report(study: Study) -> tuple[list[str], list[Campaign]]:
    """The batch in Markdown, and the judged campaigns. Raises InputError without a finished naive chain."""
    naive = [run for run in study.by_method().get("naive", []) if run.status == "done"]
    if not naive:
        raise InputError(f"{study.path}: no finished chain of the method naive")
    campaigns = [judge(run) for run in naive]
    proportion = list(proportion_lines(campaigns, [run.campaigns[0] for run in naive]))
    lines = [*campaign_lines(campaigns), "", *(f"{line}\n" for line in proportion), *arm_lines(ends_of_chain(study))]
    lines += ["", competence_line(study)]
    return lines, campaigns


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 bad input (one line on stderr)."""
    parser = script_parser("research.batch", __doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, help="stem of a .md and a .csv to write as well")
    args = parser.parse_args(argv)
    lines, campaigns = report(read_study(args.study))
    print("\n".join(lines))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(args.out.with_suffix(".md"), "\n".join(lines) + "\n")
        with args.out.with_suffix(".csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Campaign)])
            writer.writeheader()
            writer.writerows(asdict(c) for c in campaigns)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
