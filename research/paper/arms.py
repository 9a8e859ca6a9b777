"""The arms of a study: finished chains by method, measured once; and the arms that cost nothing.

Only finished chains count, so that a table of a study in progress is a valid table of fewer seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from crestfall.analysis.bootstrap import FEWEST_UNITS, Interval, cluster_interval, end_interval
from crestfall.analysis.compare import FEWEST_SEEDS, Comparison, compare
from crestfall.analysis.measures import CampaignMeasures
from crestfall.analysis.null import NullComparison, against_null
from crestfall.analysis.trajectory import FloatArray, Run, Study, Trajectory, read_study
from crestfall.core.errors import InputError
from crestfall.core.rng import stream
from research.paper.chain import ChainMeasures, measure_chain

BASE = "base policy"
FREE: Mapping[str, str] = {
    BASE: "the base policy, untouched",
    "fixed": "one fixed stop for all campaigns, chosen on other seeds",
    "quarter_lr": "a quarter of the learning rate",
    "linear_decay": "a learning rate that falls to 0 in a straight line",
    "weight_average": "an average of the weights",
    "random_reward": "a random reward",
}
"""Baselines that a controller has to beat: arms that use no evaluation."""


@dataclass(frozen=True, eq=False)
class Chain:
    """A finished chain."""

    run: Run
    measures: ChainMeasures
    end: float
    """End of chain: pass@1 on the final set with the final weights of the last campaign."""
    base: float
    """The same of the policy before the first campaign."""


@dataclass(frozen=True, eq=False)
class Arm:
    """A method with its finished chains in order of seeds. The base policy is an arm without chains."""

    method: str
    ends: Mapping[int, float]
    """End of chain by seed."""
    chains: tuple[Chain, ...] = ()

    @property
    def n(self) -> int:
        return len(self.ends)

    @property
    def ends_N(self) -> FloatArray:
        return np.array(list(self.ends.values()))

    @property
    def mean_end(self) -> float:
        return float(self.ends_N.mean())

    @cached_property
    def interval(self) -> Interval | None:
        """Of the mean end of chain over seeds; None below four, where the seeds themselves say more."""
        if self.n < FEWEST_UNITS:
            return None
        return end_interval(self.method, self.ends_N)

    @property
    def steps(self) -> float:
        """Gradient steps actually taken, mean over chains."""
        return float(np.mean([chain.measures.steps for chain in self.chains]))

    @property
    def trajectories(self) -> list[Trajectory]:
        return [t for chain in self.chains for t in chain.run.campaigns]

    @property
    def campaigns(self) -> list[CampaignMeasures]:
        return [m for chain in self.chains for m in chain.measures.campaigns]

    @cached_property
    def null(self) -> NullComparison:
        return against_null(self.trajectories, stream("paper", "null", self.method))

    def pooled(self, name: str) -> Interval | None:
        """Of a measure's mean over all campaigns that have it (of `phase_transition` and onsets: clear falls alone),
        chains resampled whole; None where fewer than four chains have one."""
        clear_only = name in ("phase_transition", "onset", "onset_for_good")
        values = ([_of(m, name, clear_only) for m in chain.measures.campaigns] for chain in self.chains)
        clusters = [np.array([float(v) for v in found if v is not None]) for found in values]
        if sum(len(cluster) > 0 for cluster in clusters) < FEWEST_UNITS:
            return None
        return cluster_interval(clusters, stream("paper", name, self.method))


def _of(m: CampaignMeasures, name: str, clear_only: bool) -> float | None:
    if clear_only and not m.fall_is_clear:
        return None
    value: float | None = getattr(m, name)
    return value


@dataclass(frozen=True, eq=False)
class Results:
    """Data of a study's tables. `arms` are in the order of the study's methods, the base policy last."""

    path: Path
    arms: Mapping[str, Arm]
    cells: int
    missing: tuple[str, ...]
    """Cells that are not finished."""
    runs: tuple[Run, ...]
    continued: Mapping[str, Arm] = field(default_factory=dict)
    """Methods that start from another run's weights: no arm of the comparison, since they had more training."""

    def __getitem__(self, method: str) -> Arm:
        return self.arms[method]

    def present(self, methods: Iterable[str]) -> list[Arm]:
        """Those of some methods that have a finished chain, in that order."""
        return [self.arms[m] for m in methods if m in self.arms]

    @property
    def controlled(self) -> list[Arm]:
        """Every arm that has a cost: it looks at evaluations, or changes the update."""
        return [arm for arm in self.arms.values() if arm.method not in FREE]

    @property
    def trained(self) -> list[Arm]:
        return [arm for arm in self.arms.values() if arm.chains]

    def compared(self, baseline: str, methods: Sequence[str]) -> dict[str, Comparison]:
        """Paired by seed, in the order of `methods`; those that share fewer than two seeds are left out.

        Holm is over those that share enough seeds for a claim: of the others none is made, whatever their numbers.
        """
        if baseline not in self.arms:
            return {}
        base = self.arms[baseline].ends
        shared = {a.method: len(a.ends.keys() & base) for a in self.present(methods) if a.method != baseline}
        claimed = [m for m, n in shared.items() if n >= FEWEST_SEEDS]
        others = [m for m, n in shared.items() if 1 < n < FEWEST_SEEDS]
        families = [compare(baseline, base, {m: self.arms[m].ends for m in family}) for family in (claimed, others)]
        found = {c.arm: c for family in families for c in family}
        return {m: found[m] for m in shared if m in found}

    @property
    def standing(self) -> str:
        """Completeness of the study, for the foot of every table."""
        if not self.missing:
            return f"All {self.cells} cells are finished."
        return f"Partial: {self.cells - len(self.missing)} of {self.cells} cells are finished; the others are left out."


def read_results(path: Path) -> Results:
    """Raises InputError: no study, or no finished chain in it."""
    return results_of(read_study(path))


def results_of(study: Study) -> Results:
    wanted = [f"{cell['method']}/seed-{cell['seed']}" for cell in study.config.get("cells", [])]
    done = [run for run in study.runs if run.status == "done"]
    by_method: dict[str, list[Chain]] = {cell.partition("/")[0]: [] for cell in wanted}
    for run in sorted(done, key=lambda run: run.seed):
        chain = _chain(run)
        if chain is not None:
            by_method.setdefault(run.method, []).append(chain)
    found = {m: Arm(m, {c.run.seed: c.end for c in chains}, tuple(chains)) for m, chains in by_method.items() if chains}
    continued = {m: arm for m, arm in found.items() if arm.chains[0].run.continued}
    arms = {m: arm for m, arm in found.items() if m not in continued}
    if not arms:
        raise InputError(f"{study.path}: no finished chain yet: nothing to put into a table")
    base: dict[int, float] = {}
    for chain in (chain for arm in arms.values() for chain in arm.chains):
        base.setdefault(chain.run.seed, chain.base)
    finished = {f"{run.method}/seed-{run.seed}" for run in done}
    return Results(
        path=study.path,
        arms={**arms, BASE: Arm(BASE, dict(sorted(base.items())))},
        cells=len(wanted) or len(study.runs),
        missing=tuple(cell for cell in wanted if cell not in finished),
        runs=study.runs,
        continued=continued,
    )


def _chain(run: Run) -> Chain | None:
    measures = measure_chain(run)
    if measures.end_of_chain is None or measures.base is None:
        return None
    return Chain(run, measures, measures.end_of_chain, measures.base)
