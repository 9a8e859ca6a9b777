"""Progress of a run: a fold over its events, for every view and for the numbers at the end.

Scores are on `report`, at the peak that was chosen on `select`: the published numbers, not the controller's.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crestfall.core.errors import InputError
from crestfall.core.types import Evaluation


@dataclass
class CampaignProgress:
    """One campaign so far. Lists are by step, 0 first."""

    number: int
    budget: int
    select_S: list[float] = field(default_factory=list)
    report_S: list[float] = field(default_factory=list)
    rollbacks: list[int] = field(default_factory=list)
    """Steps after which the campaign went back."""
    handed_on_step: int | None = None
    stopped_by: str | None = None
    final: float | None = None
    """pass@1 on the final set with the final weights of the campaign."""

    @property
    def step(self) -> int:
        return len(self.report_S) - 1

    @property
    def peak_step(self) -> int:
        return max(range(len(self.select_S)), key=self.select_S.__getitem__)

    def scores(self) -> dict[str, float | int]:
        """`start`, `peak`, `peak_step`, `end`, `gap` of what there is; needs step 0."""
        report, peak_step = self.report_S, self.peak_step
        peak = report[peak_step]
        return {
            "start": report[0],
            "peak": peak,
            "peak_step": peak_step,
            "end": report[-1],
            "gap": peak - report[-1],
        }


@dataclass
class RunProgress:
    """One run so far. `campaigns_planned` and `steps_planned` come from the configuration."""

    method: str
    seed: int
    campaigns_planned: int
    steps_planned: int
    campaigns: list[CampaignProgress] = field(default_factory=list)
    final_start: float | None = None
    last_step: Mapping[str, Any] = field(default_factory=dict)
    """The latest `step` event."""
    step_seconds: list[float] = field(default_factory=list)
    final_seconds: list[float] = field(default_factory=list)
    ended: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any], events: Iterable[Mapping[str, Any]] = ()) -> RunProgress:
        """The progress of the run with this resolved configuration after these events."""
        planned = config["chain"]["campaigns"], config["campaign"]["steps"]
        progress = cls(config["method"], config["seed"], *planned)
        for event in events:
            progress.event(event)
        return progress

    def event(self, event: Mapping[str, Any]) -> None:
        """Take in the next event; types that say nothing of progress are passed over."""
        take = getattr(self, f"_{event['type']}", None)
        if take is not None:
            take(event)

    def read(self, events: Iterable[Mapping[str, Any]], path: Path) -> None:
        """Take in the events of the log at `path`. Raises InputError for one that no run writes."""
        for event in events:
            try:
                self.event(event)
            except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
                raise InputError(f"{path}: event {event.get('seq')} lacks or garbles a field: {error!r}") from error

    @property
    def current(self) -> CampaignProgress | None:
        """The latest campaign that has reached step 0."""
        return next((c for c in reversed(self.campaigns) if c.report_S), None)

    @property
    def end_of_chain(self) -> float | None:
        """pass@1 on final with the final weights of the last finished campaign."""
        return next((c.final for c in reversed(self.campaigns) if c.final is not None), None)

    @property
    def steps_done(self) -> int:
        return sum(max(0, c.step) for c in self.campaigns)

    def seconds_left(self) -> float | None:
        """A guess from the pace so far; None before there is one. Campaigns to come are taken to be as long as the
        past."""
        if self.ended:
            return 0.0
        if not self.step_seconds:
            return None
        finished = [c.step for c in self.campaigns if c.stopped_by is not None]
        length = statistics.mean(finished) if finished else self.steps_planned
        steps = (self.campaigns_planned - len(self.campaigns)) * (length + 1)
        if self.campaigns and self.campaigns[-1].stopped_by is None:
            steps += max(0.0, min(length, self.campaigns[-1].budget) - self.campaigns[-1].step)
        finals = 2 * (self.campaigns_planned - len(finished))
        final_seconds = statistics.mean(self.final_seconds) if self.final_seconds else 0.0
        return steps * statistics.median(self.step_seconds) + finals * final_seconds

    def result(self, status: str) -> dict[str, Any]:
        """The cell's object in the output of `--json`."""
        return {
            "method": self.method,
            "seed": self.seed,
            "campaigns": [c.scores() for c in self.campaigns if c.report_S],
            "end_of_chain": self.end_of_chain,
            "final_start": self.final_start,
            "status": status,
        }

    # --- one method per event type ---

    def _campaign_started(self, event: Mapping[str, Any]) -> None:
        self.campaigns.append(CampaignProgress(event["campaign"], event["budget"]))

    def _step(self, event: Mapping[str, Any]) -> None:
        campaign = self.campaigns[-1]
        campaign.select_S.append(_pass_at_1(event["select"]))
        campaign.report_S.append(_pass_at_1(event["report"]))
        self.step_seconds.append(sum(event["seconds"].values()))
        self.last_step = event

    def _rollback(self, event: Mapping[str, Any]) -> None:
        self.campaigns[-1].rollbacks.append(event["step"])

    def _final(self, event: Mapping[str, Any]) -> None:
        score = _pass_at_1(event["evaluation"])
        if event["when"] == "start":
            self.final_start = score
        elif event["when"] == "handed_on":
            self.campaigns[-1].final = score
        self.final_seconds.append(sum(event.get("seconds", {}).values()))

    def _campaign_ended(self, event: Mapping[str, Any]) -> None:
        self.campaigns[-1].stopped_by = event["stopped_by"]
        self.campaigns[-1].handed_on_step = event["handed_on_step"]

    def _run_ended(self, event: Mapping[str, Any]) -> None:
        self.ended = True


def _pass_at_1(evaluation: Mapping[str, Any]) -> float:
    return Evaluation.from_json(evaluation).pass_at_1
