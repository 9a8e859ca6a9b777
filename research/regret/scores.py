"""From cells to regret: the reference of each regime, and what it ends above a method, seed by seed.

The reference is chosen on other seeds than those it is scored on. The maximum over a grid is too high on the seeds on
which it is found (each arm's luck counts in its favour); run again, the arm that was best there is one arm like others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from crestfall.core.errors import InputError
from research.regret.cells import Cell

FIRST_SCORED = 5000
"""Seeds from here on score. Those below are for choosing references and for tuning."""
GRID = ("x1", "x1_4", "x1_16", "x2", "stop")
"""Arms of the reference's grid by the method that runs them; each is scored with its last weights and with what it
keeps (the average, the peak)."""

ALIASES: Mapping[str, tuple[str, ...]] = {"naive": ("average",), "meter": ("meter+average", "crest2")}
"""Entries that are the last weights of other methods' chains, of the first that has the regime and seed. What is handed
on changes nothing in training, nor does a controller that never acts: a chain in which it has acted does not count."""


@dataclass(frozen=True)
class Arm:
    """A method, and which of its weights are scored."""

    method: str
    which: str

    def score(self, cell: Cell) -> float:
        return cell.last if self.which == "last" else cell.handed_on

    def competence(self, cell: Cell) -> float | None:
        return cell.last_competence if self.which == "last" else cell.competence

    def gain(self, cell: Cell) -> float | None:
        """Gain of competence from the start; None if it was not measured."""
        end = self.competence(cell)
        return None if end is None or cell.start_competence is None else end - cell.start_competence

    @property
    def name(self) -> str:
        return f"{self.method}, {'last weights' if self.which == 'last' else 'final weights'}"


@dataclass(frozen=True)
class Reference:
    """`chosen_on`: seeds of the choice, and `found`: the arm's mean there. `scores`: by seed, on those that score."""

    arm: Arm
    chosen_on: tuple[int, ...]
    found: float
    scores: Mapping[int, float]

    @property
    def mean(self) -> float:
        return fmean(self.scores.values())


@dataclass(frozen=True)
class Entry:
    """A method's regret by regime and seed, in fractions, with the cells that it is made of."""

    name: str
    arm: Arm
    cells: Mapping[tuple[str, int], Cell]
    ends: Mapping[tuple[str, int], float]
    regrets: Mapping[tuple[str, int], float]

    @property
    def regimes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(regime for regime, _ in self.regrets))

    def by_regime(self) -> dict[str, float]:
        """Mean regret over seeds."""
        return {r: fmean(v for (regime, _), v in self.regrets.items() if regime == r) for r in self.regimes}

    def above(self, other: Entry) -> dict[str, float]:
        """By regime, what this entry ends above another one, over the seeds that both have: means over different seeds
        would compare the seeds, too."""
        shared = [key for key in self.regrets if key in other.regrets]
        gains = {(r, s): other.regrets[r, s] - self.regrets[r, s] for r, s in shared}
        return {
            r: fmean(v for (regime, _), v in gains.items() if regime == r) for r in self.regimes if r in dict(shared)
        }

    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted({seed for _, seed in self.regrets}))

    def per_seed(self) -> np.ndarray:
        """Mean over regimes, seed by seed, over the seeds that have every regime."""
        full = [s for s in self.seeds() if all((r, s) in self.regrets for r in self.regimes)]
        return np.array([fmean(self.regrets[r, s] for r in self.regimes) for s in full])


def references(cells: Sequence[Cell]) -> dict[str, Reference]:
    """The best arm of the grid of each regime that has one. Of equal arms the first in the grid's order."""
    out = {}
    for regime in dict.fromkeys(c.regime for c in cells):
        others = [c for c in cells if c.regime == regime and c.method in GRID and c.seed < FIRST_SCORED]
        means = {arm: fmean(arm.score(c) for c in found) for arm, found in _by_arm(others).items()}
        if not means:
            continue
        best = max(means, key=lambda arm: means[arm])
        again = [c for c in cells if c.regime == regime and c.seed >= FIRST_SCORED and _same(c.method, best)]
        scores = {c.seed: best.score(c) for c in again}
        if scores:
            out[regime] = Reference(best, tuple(sorted({c.seed for c in others})), means[best], scores)
    return out


def entries(cells: Sequence[Cell], found: Mapping[str, Reference]) -> list[Entry]:
    """Every method that was run on seeds that score, in regimes whose reference was run on these seeds too."""
    scored = [c for c in cells if c.seed >= FIRST_SCORED and c.regime in found]
    methods = [m for m in dict.fromkeys(c.method for c in scored) if m not in GRID]
    chains = {name: (Arm(name, "handed_on"), _of(scored, found, name)) for name in methods}
    chains |= {name: (Arm(name, "last"), _last(scored, found, of)) for name, of in ALIASES.items()}
    out = []
    for name, (arm, own) in chains.items():
        ends = {key: arm.score(cell) for key, cell in own.items()}
        regrets = {(r, s): found[r].scores[s] - end for (r, s), end in ends.items()}
        if regrets:
            out.append(Entry(name, arm, own, ends, regrets))
    if not out:
        raise InputError(f"no method has a cell beside its regime's reference on the same seed (from {FIRST_SCORED})")
    return sorted(out, key=lambda e: (-len(e.regimes), max(e.by_regime().values())))


def _of(cells: Sequence[Cell], found: Mapping[str, Reference], method: str) -> dict[tuple[str, int], Cell]:
    """A method's chains on seeds on which the reference was run, by regime and seed."""
    return {(c.regime, c.seed): c for c in cells if c.method == method and c.seed in found[c.regime].scores}


def _last(cells: Sequence[Cell], found: Mapping[str, Reference], of: Sequence[str]) -> dict[tuple[str, int], Cell]:
    out: dict[tuple[str, int], Cell] = {}
    for method in reversed(of):
        own = _of(cells, found, method).items()
        out |= {key: replace(cell, looked_at=0) for key, cell in own if cell.interventions == 0}
    return out


def _by_arm(cells: Sequence[Cell]) -> dict[Arm, list[Cell]]:
    """Arms that were run on as many seeds as any other of the regime: fewer would win by luck."""
    most = max((sum(c.method == m for c in cells) for m in {c.method for c in cells}), default=0)
    out: dict[Arm, list[Cell]] = {}
    for method in GRID:
        found = [c for c in cells if c.method == method]
        if found and len(found) == most:
            out |= {Arm(method, "last"): found, Arm(method, "handed_on"): found}
    return out


def _same(method: str, arm: Arm) -> bool:
    """The entry `average` is the grid's x1 by another name."""
    return method == arm.method or (arm.method, method) == ("x1", "average")


def percentile90(values: Sequence[float]) -> float:
    return float(np.quantile(np.array(values), 0.9))
