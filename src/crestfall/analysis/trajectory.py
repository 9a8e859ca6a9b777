"""One type for every curve that is looked at, and the reading of crestfall's own run directories into it.

A `Trajectory` is one campaign of one of our runs, or one run of somebody else's: what was judged at which step, what
the companions did, and what is known of the noise. Reading tolerates a torn last line and runs in progress.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crestfall.core.errors import CrestfallWarning, InputError, RunDirectoryError
from crestfall.core.types import Decision, Evaluation
from crestfall.store.files import content
from crestfall.store.jsonl import is_torn, lines_of, objects
from crestfall.store.layout import EVENTS_FILE, RUN_FILE, STUDY_FILE, cells_in
from crestfall.store.meta import read_json

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Series:
    """One number at some steps, in order of steps. A step at which it was not measured is absent."""

    steps_S: IntArray
    values_S: FloatArray

    @classmethod
    def of(cls, points: Mapping[int, float]) -> Series:
        steps = sorted(points)
        return cls(np.array(steps, dtype=np.int64), np.array([points[s] for s in steps], dtype=np.float64))

    def __len__(self) -> int:
        return len(self.steps_S)

    def within(self, first_step: int, last_step: int) -> Series:
        inside_S = (self.steps_S >= first_step) & (self.steps_S <= last_step)
        return Series(self.steps_S[inside_S], self.values_S[inside_S])


@dataclass(frozen=True, eq=False)
class Curve:
    """Another curve of the same run. `standard_errors_S`: the evaluation's own noise where known. `role`: `evaluation`,
    `reward` (of training) or `part` (of the training reward)."""

    series: Series
    standard_errors_S: FloatArray | None
    role: str


@dataclass(frozen=True)
class Rollback:
    """Weights and optimizer of `target_step` were restored after `step`; the counter went on."""

    step: int
    target_step: int
    reason: str = ""


@dataclass(frozen=True)
class CampaignFacts:
    """Facts of a campaign from its events, beside its curves. `handed_on_step` is None while it is running."""

    campaign: int
    budget: int
    decisions: Mapping[int, Decision] = field(default_factory=dict)
    rollbacks: tuple[Rollback, ...] = ()
    handed_on_step: int | None = None
    handed_on: float | None = None
    """Score on report of the final weights, where the events tell it by itself: an average of weights has another one
    than the step that it was taken at."""
    stopped_by: str | None = None
    verdicts: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    shown: Mapping[int, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


class Broken(NamedTuple):
    """A metric that is NaN or infinite from `step` on, in all `values` that were logged from there."""

    step: int
    values: int


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A curve with all that is known of it.

    `values_S` is the metric that choices are made on. `scored_S` is the same thing measured on problems that no choice
    was made on (our report set), where there is one: a peak is chosen on `values_S` and scored on `scored_S`. `select`
    and `report` hold the counts behind the two. `standard_errors_S` is the evaluation's own noise where known.
    `role` of the metric as in `Curve`, `told` whether somebody chose it. `others` are further evaluations, the training
    reward and its parts in a foreign log, `notes` what was odd (gaps, several rows a step, restarts).
    """

    name: str
    source: Path
    metric: str
    why: str
    steps_S: IntArray
    values_S: FloatArray
    select: tuple[Evaluation, ...] | None = None
    report: tuple[Evaluation, ...] | None = None
    standard_errors_S: FloatArray | None = None
    signals: Mapping[str, Series] = field(default_factory=dict)
    others: Mapping[str, Curve] = field(default_factory=dict)
    role: str = "evaluation"
    told: bool = False
    facts: CampaignFacts | None = None
    notes: tuple[str, ...] = ()
    broken: Broken | None = None
    """Where the metric is NaN or infinite to the end of the log; None where it is not."""

    def __len__(self) -> int:
        return len(self.steps_S)

    @property
    def scored_S(self) -> FloatArray | None:
        return None if self.report is None else np.array([e.pass_at_1 for e in self.report])

    @property
    def judged_S(self) -> FloatArray:
        """The curve that numbers are published from: `scored_S` where there is one, else `values_S`."""
        scored = self.scored_S
        return self.values_S if scored is None else scored

    @property
    def judged_error_S(self) -> FloatArray | None:
        """Standard errors of `judged_S` as far as the evaluation's own sampling goes; None: not known."""
        if self.report is not None:
            return np.array([e.standard_error for e in self.report])
        return self.standard_errors_S

    @property
    def counts_SP(self) -> IntArray | None:
        """Counts of passing samples among `n` at each step, per problem of the scored curve."""
        evaluations = self.report or self.select
        return None if evaluations is None else np.array([e.passed_P for e in evaluations], dtype=np.int64)

    @property
    def n(self) -> int | None:
        """Samples per problem behind `counts_SP`."""
        evaluations = self.report or self.select
        return None if evaluations is None else evaluations[0].n


@dataclass(frozen=True)
class Final:
    """An evaluation on the chain's final set. `when`: `start`, `end` (last weights), `handed_on`, or `rolled_back`
    (before the campaign began)."""

    campaign: int
    when: str
    step: int
    evaluation: Evaluation


@dataclass(frozen=True, eq=False)
class Run:
    """A chain as its run directory tells it."""

    path: Path
    method: str
    seed: int
    status: str
    campaigns: tuple[Trajectory, ...]
    finals: tuple[Final, ...] = ()
    care: tuple[Mapping[str, Any], ...] = ()
    extra: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    """The events of type `capability`, `ood` and `revisit`, as docs/run_directory.md has them."""
    config: Mapping[str, Any] = field(default_factory=dict)
    config_digest: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def continued(self) -> bool:
        """Whether the run starts from another run's weights. It has had more training: do not compare it as an arm."""
        return bool(self.config.get("chain", {}).get("start_from"))

    @property
    def base(self) -> Final | None:
        """The base policy on the final set; None where the chain does not start from it, or has not begun."""
        return None if self.continued else self.final(-1, "start")

    def final(self, campaign: int, when: str) -> Final | None:
        """The evaluation on the final set, if it has been made."""
        return next((f for f in self.finals if f.campaign == campaign and f.when == when), None)


@dataclass(frozen=True, eq=False)
class Study:
    """The cells of a study that have a run directory, by method and seed."""

    path: Path
    config: Mapping[str, Any]
    runs: tuple[Run, ...]
    damaged: tuple[str, ...] = ()
    """Messages about the cells that are left out."""

    def by_method(self) -> dict[str, list[Run]]:
        methods: dict[str, list[Run]] = {}
        for run in self.runs:
            methods.setdefault(run.method, []).append(run)
        return {m: sorted(runs, key=lambda r: r.seed) for m, runs in methods.items()}


# --- reading --------------------------------------------------------------------------------------------------------


def read_run(path: Path) -> Run:
    """A run directory, finished or not.

    Raises:
        InputError: no run.json, or a file that is not what docs/run_directory.md says.
    """
    meta = _json_object(path / RUN_FILE)
    _check_kinds(path / RUN_FILE, meta, _RUN_KINDS)
    _check_kinds(path / RUN_FILE, meta.get("config", {}), {"chain": dict, "campaign": dict}, "config.")
    events, notes = _events(path / EVENTS_FILE)
    if meta.get("status") == "done" and not any(e["type"] == "run_ended" for e in events):
        notes += (f"{EVENTS_FILE} is missing or cut: the end of this finished run is not there",)
    method, seed = meta.get("method", path.parent.name), meta.get("seed", 0)
    try:
        campaigns = tuple(_campaigns(events, path, f"{method}/seed-{seed}"))
        finals = tuple(
            Final(e["campaign"], e["when"], e["step"], Evaluation.from_json(e["evaluation"]))
            for e in _latest(events, "final", ("campaign", "when"))
        )
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise InputError(f"{path / EVENTS_FILE}: an event lacks or garbles a field: {error!r}") from error
    return Run(
        path=path,
        method=method,
        seed=seed,
        status=str(meta.get("status", "running")),
        campaigns=campaigns,
        finals=finals,
        care=tuple(e for e in events if e["type"] == "care"),
        extra={kind: tuple(e for e in events if e["type"] == kind) for kind in ("capability", "ood", "revisit")},
        config=meta.get("config", {}),
        config_digest=str(meta.get("config_digest", "")),
        provenance=meta.get("provenance", {}) | ({"start from": meta["start_from"]} if "start_from" in meta else {}),
        error=meta.get("error"),
        notes=notes,
    )


def read_study(path: Path) -> Study:
    """A study directory: every cell that has begun. One that cannot be read is left out, with a warning.

    Raises:
        InputError: study.json is missing or broken, or there are cells and none can be read.
    """
    meta = _json_object(path / STUDY_FILE)
    _check_kinds(path / STUDY_FILE, meta, {"config": dict, "cells": list})
    runs, damaged = [], []
    for cell in cells_in(path):
        try:
            runs.append(read_run(cell))
        except InputError as error:
            damaged.append(error)
    if damaged and not runs:
        raise damaged[0]
    for reason in damaged:
        warnings.warn(f"left out: {reason}", CrestfallWarning, stacklevel=2)
    return Study(path, meta, tuple(runs), tuple(map(str, damaged)))


_RUN_KINDS = {
    "config": dict,
    "provenance": dict,
    "start_from": dict,
    "method": str,
    "seed": int,
    "status": str,
    "config_digest": str,
    "error": str | None,
}


def _check_kinds(path: Path, data: Mapping[str, Any], kinds: Mapping[str, Any], prefix: str = "") -> None:
    """Raises InputError for a field that is there and of another kind."""
    for name, kind in kinds.items():
        if name in data and not isinstance(data[name], kind):
            wanted = getattr(kind, "__name__", str(kind))
            raise InputError(f"{path}: field '{prefix}{name}' is {str(data[name])[:40]!r}, expected a {wanted}")


def _json_object(path: Path) -> dict[str, Any]:
    try:
        data = read_json(path)
    except RunDirectoryError as error:
        raise InputError(str(error)) from None
    if data is None:
        raise InputError(f"{path}: no such file; a run directory has one (docs/run_directory.md)")
    return data


def _events(path: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Every whole event in order. A last line without its end is what a killed process leaves: dropped, and noted."""
    try:
        raw = content(path)
    except RunDirectoryError as error:
        raise InputError(str(error)) from None
    if raw is None:
        return [], ("no events yet",)
    events: list[dict[str, Any]] = []
    for number, event in objects(lines_of(raw), path, growing=True):
        if "type" not in event:
            raise InputError(f"{path}:{number}: expected an object with a field 'type'")
        if not _finite(event):
            raise InputError(f"{path}:{number}: a number that is not finite, which no run writes")
        events.append(event)
    return events, (f"last line of {path.name} is torn: left out",) if is_torn(raw) else ()


def _finite(data: Any) -> bool:
    if isinstance(data, Mapping | list):
        return all(_finite(entry) for entry in (data.values() if isinstance(data, Mapping) else data))
    return not isinstance(data, float) or math.isfinite(data)


def _latest(events: Sequence[dict[str, Any]], kind: str, key: tuple[str, ...]) -> list[dict[str, Any]]:
    """Events of a kind, the last one of each key: a step that was done again after a resume replaces the first try."""
    found = {tuple(e[k] for k in key): e for e in events if e["type"] == kind}
    return [found[k] for k in sorted(found)]


def _campaigns(events: Sequence[dict[str, Any]], path: Path, run: str) -> Iterator[Trajectory]:
    steps_of: dict[int, list[dict[str, Any]]] = {}
    for event in _latest(events, "step", ("campaign", "step")):
        steps_of.setdefault(event["campaign"], []).append(event)
    started = {e["campaign"]: e for e in _latest(events, "campaign_started", ("campaign",))}
    ended = {e["campaign"]: e for e in _latest(events, "campaign_ended", ("campaign",))}
    rollbacks = _latest(events, "rollback", ("campaign", "step"))
    vectors = {e["campaign"]: e["report"].get("handed_on", {}) for e in _latest(events, "capability", ("campaign",))}
    for campaign, steps in steps_of.items():
        end = ended.get(campaign, {})
        facts = CampaignFacts(
            campaign=campaign,
            budget=int(started.get(campaign, {}).get("budget", steps[-1]["step"])),
            decisions={e["step"]: Decision.from_json(e["decision"]) for e in steps if e.get("decision")},
            rollbacks=tuple(
                Rollback(e["step"], e["target_step"], e.get("reason", ""))
                for e in rollbacks
                if e["campaign"] == campaign
            ),
            handed_on_step=end.get("handed_on_step"),
            handed_on=vectors.get(campaign, {}).get("pass_at_1"),
            stopped_by=end.get("stopped_by"),
            verdicts={e["step"]: e["verdicts"] for e in steps if "verdicts" in e},
            shown={e["step"]: e["shown"] for e in steps if e.get("shown")},
            seconds=_summed(e.get("seconds") or {} for e in steps),
        )
        yield _trajectory(steps, facts, path, f"{run}/c{campaign}")


def _trajectory(steps: Sequence[dict[str, Any]], facts: CampaignFacts, path: Path, name: str) -> Trajectory:
    select = tuple(Evaluation.from_json(e["select"]) for e in steps)
    report = tuple(Evaluation.from_json(e["report"]) for e in steps) if all("report" in e for e in steps) else None
    signals: dict[str, dict[int, float]] = {}
    for e in steps:
        for signal, value in e.get("signals", {}).items():
            signals.setdefault(signal, {})[e["step"]] = float(value)
    why = "chosen on select, scored on report" if report else "select: this run has no report set"
    return Trajectory(
        name=name,
        source=path,
        metric="pass_at_1",
        why=why,
        steps_S=np.array([e["step"] for e in steps], dtype=np.int64),
        values_S=np.array([e.pass_at_1 for e in select]),
        select=select,
        report=report,
        standard_errors_S=np.array([e.standard_error for e in select]),
        signals={signal: Series.of(points) for signal, points in signals.items()},
        facts=facts,
    )


def _summed(parts: Iterator[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in parts:
        for phase, seconds in part.items():
            total[phase] = total.get(phase, 0.0) + seconds
    return total
