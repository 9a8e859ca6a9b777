"""Chains that nothing stopped, as curves: what was scored and what was recorded at every step, and where they fall.

A chain *falls* at the first step at which its score on report, and the next one too, is at least 15 points below the
highest so far. Two scores, because one is noise: 30 problems of 8 samples have a standard error of some 3 points.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from crestfall.analysis.trajectory import Run, Series, Trajectory, read_run
from crestfall.core.errors import InputError
from crestfall.store.layout import cells_in
from crestfall.store.meta import read_meta
from research.regret.cells import rows_of

CHAINS_FILE = "chains.jsonl"
FALL = 0.15
FEWEST_SAMPLES = 200
"""On report, per evaluation. With fewer one cannot tell at which step a chain falls."""
SETTINGS = ("rate_", "pace", "step_share", "step_proposed")
"""Recorded beside the signals, and no measurement (or one that is there under another name)."""


@dataclass(frozen=True)
class Chain:
    """Lists go by step, from step 0. `signals`: None where a step has no value (step 0 has none)."""

    regime: str
    arm: str
    seed: int
    select: tuple[float, ...]
    report: tuple[float, ...]
    signals: dict[str, tuple[float | None, ...]]

    @property
    def fall(self) -> int | None:
        """The step at which the chain falls; None: it does not."""
        report_S = np.array(self.report)
        best_S = np.maximum.accumulate(report_S)[:-2]
        down_S = (report_S[1:-1] <= best_S - FALL + 1e-9) & (report_S[2:] <= best_S - FALL + 1e-9)
        return int(np.argmax(down_S)) + 1 if down_S.any() else None


def read_all(sources: Iterable[Path]) -> list[Chain]:
    """Chains of study directories (methods named REGIME.ARM) and of files that `chain_lines` wrote. Of two of one
    regime, arm and seed the one of the later source counts."""
    chains = [
        chain for source in sources for chain in (_of_study(source) if source.is_dir() else rows_of(source, _CHAIN))
    ]
    if not chains:
        raise InputError("no finished chain without a controller that has at least 200 samples on report")
    return sorted({(c.regime, c.arm, c.seed): c for c in chains}.values(), key=lambda c: (c.regime, c.arm, c.seed))


def chain_lines(chains: Sequence[Chain]) -> str:
    return "".join(json.dumps(asdict(chain)) + "\n" for chain in chains)


def _of_study(study: Path) -> list[Chain]:
    return [chain_of(run) for run in runs_of(study)]


def runs_of(study: Path) -> list[Run]:
    """The runs of a study that are finished, that nothing interfered with, and whose report set says when they fall."""
    finished = [path for path in cells_in(study) if _is_free(read_meta(path))]
    return [run for run in map(read_run, finished) if _samples(run.campaigns[0]) >= FEWEST_SAMPLES]


def _is_free(meta: dict[str, Any] | None) -> bool:
    if meta is None or meta["status"] != "done" or "." not in meta["method"]:
        return False
    return all(meta["config"][kind]["name"] == "none" for kind in ("control", "care"))


def _samples(t: Trajectory) -> int:
    return 0 if t.report is None else t.report[0].n * len(t.report[0].passed_P)


def chain_of(run: Run) -> Chain:
    """The first campaign of a run."""
    regime, _, arm = run.method.partition(".")
    t = run.campaigns[0]
    signals = {name: _by_step(series, len(t)) for name, series in t.signals.items() if not name.startswith(SETTINGS)}
    signals |= _verdict_shares(t)
    return Chain(regime, arm, run.seed, _short(t.values_S), _short(t.judged_S), signals)


def _by_step(series: Series, steps: int) -> tuple[float | None, ...]:
    known = dict(zip(series.steps_S.tolist(), _short(series.values_S), strict=True))
    return tuple(known.get(step) for step in range(steps))


def _verdict_shares(t: Trajectory) -> dict[str, tuple[float | None, ...]]:
    """Shares of the training samples that failed, by the way they failed (what passed is the reward)."""
    assert t.facts is not None
    verdicts = t.facts.verdicts
    totals = {step: sum(counts.values()) for step, counts in verdicts.items()}
    names = sorted({name for counts in verdicts.values() for name in counts} - {"passed"})
    return {
        f"share of {name}": tuple(
            round(verdicts[step].get(name, 0) / totals[step], 5) if totals.get(step) else None
            for step in t.steps_S.tolist()
        )
        for name in names
    }


def _short(values_S: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{value:.5g}") for value in values_S)


_CHAIN = TypeAdapter(Chain)
