"""A run as plain lines, one per step: for logs, pipes and terminals without colour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from crestfall.report.live.progress import RunProgress
from crestfall.report.live.words import acts, decision, duration, percent, verdict_mix

WHEN = {
    "start": "before training",
    "end": "last weights",
    "handed_on": "final weights of the campaign",
    "rolled_back": "after the rollback",
}
SCORED = "pass@1 on report; peak: of the step that is best on select, as in the report's page"


class PlainView:
    def __init__(self, console: Console, progress: RunProgress) -> None:
        self._console, self._progress = console, progress
        self._say(SCORED)
        if progress.final_start is None:
            self._say("waiting for the first evaluation: the weights that the chain starts from, on the final set")

    def event(self, event: Mapping[str, Any]) -> None:
        self._progress.event(event)
        line = self._line(event)
        if line is not None:
            self._say(line)

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None: ...

    def _line(self, event: Mapping[str, Any]) -> str | None:
        progress = self._progress
        if event["type"] == "step":
            campaign = progress.campaigns[-1]
            scores = campaign.scores()
            parts = [
                f"campaign {campaign.number + 1}/{progress.campaigns_planned} step {event['step']}/{campaign.budget}",
                f"pass@1 {percent(scores['end'])}",
                f"peak {percent(scores['peak'])} at {scores['peak_step']}",
                verdict_mix(event["verdicts"]),
                decision(event) if acts(event) else "",
                f"{duration(progress.seconds_left())} left",
            ]
            return "  ".join(part for part in parts if part)
        if event["type"] == "final":
            when = WHEN.get(event["when"], event["when"])
            return f"final set: pass@1 {percent(event['evaluation']['pass_at_1'])} ({when})"
        if event["type"] == "care":
            return f"between campaigns: {event['verdict']}: {event['reason']}"
        return None
