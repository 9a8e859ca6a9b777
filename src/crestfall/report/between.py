"""Decisions between campaigns, as plain rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crestfall.analysis.trajectory import Run
from crestfall.core.text import visible
from crestfall.report.groups import Group
from crestfall.report.tables import MOST_ROWS, told

MOST_EVIDENCE = 24


@dataclass(frozen=True)
class BetweenRow:
    """Plan of a chain controller for one campaign, with its evidence (`name value` pairs)."""

    style: str
    label: str
    seed: int
    campaign: int
    verdict: str
    steps: str
    rate: str
    reason: str
    evidence: tuple[tuple[str, str], ...]


def between_rows(groups: Sequence[Group]) -> tuple[list[BetweenRow], int]:
    """Every plan of a chain controller, in order; and how many more there are than are shown."""
    rows = [_row(g, run, event) for g in groups for run in g.runs for event in run.care]
    return rows[:MOST_ROWS], max(0, len(rows) - MOST_ROWS)


def _row(g: Group, run: Run, event: Mapping[str, Any]) -> BetweenRow:
    found = event.get("evidence")
    evidence = list(found.items())[:MOST_EVIDENCE] if isinstance(found, Mapping) else []
    back = " · rolled back" if event.get("roll_back") else ""
    return BetweenRow(
        g.style,
        g.label,
        run.seed,
        int(event.get("campaign", 0)) + 1,
        visible(str(event.get("verdict", "")), 40) + back,
        told(event.get("budget", "–")),
        told(event.get("learning_rate_scale", "–")),
        visible(str(event.get("reason", "")), 200),
        tuple((visible(str(name), 40), told(value)) for name, value in evidence),
    )
