"""Self-improvement transfer gate: may what was learnt be built on?

Formally the paper's gate answers reuse, adapt, pilot or reject; "as deployed it is a scalar test on the ratio end
pass@1 / peak pass@1 of the previous campaign". Thresholds are in no source. Both forms are here, and the judgement of a
memory's forecast, which is all there is before the first campaign of a chain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from crestfall.control.care.base import Plan
from crestfall.control.care.memory import Share, Verdict
from crestfall.core.errors import ConfigError
from crestfall.core.types import CampaignSummary

Fraction = Annotated[float, Field(gt=0, le=1)]


def end_over_peak(summary: CampaignSummary) -> float:
    """End divided by peak of a campaign, on select. 0 for a campaign that never passed anything."""
    return summary.end / summary.peak if summary.peak > 0 else 0.0


@dataclass(frozen=True)
class Gate:
    """The test on end/peak of the campaign before."""

    threshold: Share = 0.5
    """A campaign that ends below this share of its peak is not built on as it is. The paper does not say; its 7B naive
    campaigns end at 0.48 of their peak on average, and its mean of 141 steps is 6 short campaigns of 10."""
    cap: Share = 0.9
    """Upper bound to which revisions of beliefs raise a threshold. The paper gives none."""
    first: Literal["full", "pilot"] = "full"
    """The first campaign of a chain, where no memory knows better. The paper does not say; the re-implementation
    pilots."""
    form: Literal["deployed", "four_way"] = "deployed"
    """`deployed`: reuse from `threshold` on, else pilot. `four_way`: by the three thresholds below."""
    reuse_from: Share = 0.8
    """Form `four_way`: the least end/peak to reuse. The paper does not say."""
    adapt_from: Share = 0.5
    """Form `four_way`: the least end/peak to adapt. The paper does not say."""
    pilot_from: Share = 0.2
    """Form `four_way`: the least end/peak to pilot; below, reject. The paper does not say."""

    def __post_init__(self) -> None:
        if not self.pilot_from <= self.adapt_from <= self.reuse_from:
            raise ConfigError("pilot_from, adapt_from, reuse_from: expected none below the one before")

    def raised_to(self, threshold: float, raised: float) -> float:
        """A threshold after revisions. Rounded, so that 0.5 + 0.1 + 0.1 is 0.7 and no hair more."""
        return max(threshold, min(self.cap, round(threshold + raised, 9)))

    def thresholds(self, raised: float) -> list[tuple[Verdict, float]]:
        """Verdicts with the least ratio for each, best first."""
        levels: list[tuple[Verdict, float]] = [("reuse", self.threshold)]
        if self.form == "four_way":
            levels = [("reuse", self.reuse_from), ("adapt", self.adapt_from), ("pilot", self.pilot_from)]
        return [(verdict, self.raised_to(level, raised)) for verdict, level in levels]

    def test(self, last: CampaignSummary, raised: float) -> tuple[Verdict, str, dict[str, float]]:
        """The verdict on the last campaign, why, and the evidence."""
        ratio, levels = end_over_peak(last), self.thresholds(raised)
        lowest: tuple[Verdict, float] = ("pilot" if self.form == "deployed" else "reject", levels[-1][1])
        verdict, level = next((pair for pair in levels if ratio >= pair[1]), lowest)
        return verdict, compared(ratio, level), {"ratio": ratio, "threshold": level}

    def opening(self) -> tuple[Verdict, str]:
        """The verdict where nothing is known."""
        return ("reuse" if self.first == "full" else "pilot"), f"first campaign, nothing known: {self.first}"


@dataclass(frozen=True)
class Response:
    """Reaction to a verdict, for a campaign that would have had `budget` steps."""

    doubt: Literal["shorten", "halve"] = "shorten"
    """Reaction to a campaign that ended too far below its peak. `shorten`: the next campaign is shorter, as below (v2).
    `halve`: all campaigns that follow train at half the learning rate, each time (v1)."""

    pilot_share: Fraction = 0.5
    """Share of the budget of a pilot: 10 of 20, as in the paper."""
    adapt_share: Fraction = 0.75
    """Share of the budget of `adapt`, unless `adapt_by` says otherwise. The paper does not say."""
    adapt_by: Literal["steps", "learning_rate"] = "steps"
    """Meaning of `adapt`: `steps` plans fewer steps; `learning_rate` plans all of them at half the learning rate."""

    def plan_of(self, verdict: Verdict, budget: int, reason: str, evidence: Mapping[str, Any]) -> Plan:
        """Reject is ours to define: the last campaign's damage is undone (back to its best step on select), and the
        next one is skipped. The paper's deployed form never rejects, and never goes back."""
        share = {"reuse": 1.0, "adapt": self.adapt_share, "pilot": self.pilot_share, "reject": 0.0}[verdict]
        scale = 1.0
        if verdict == "adapt" and self.adapt_by == "learning_rate":
            share, scale = 1.0, 0.5
        steps = min(budget, math.ceil(share * budget))
        return Plan(steps, scale, verdict == "reject", verdict, reason, evidence)


def compared(ratio: float, threshold: float) -> str:
    return f"end/peak {ratio:.3f} {'>=' if ratio >= threshold else '<'} {threshold:.2f}"
