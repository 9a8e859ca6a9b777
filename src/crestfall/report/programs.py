"""The policy's programs for the same problems at the start, the peak and the end, shortened and escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crestfall.analysis.measures import measure_campaign
from crestfall.analysis.trajectory import Trajectory
from crestfall.core.text import visible
from crestfall.core.types import Verdict
from crestfall.report.groups import Group, number_of

# A page that can be mailed: so many problems a campaign, campaigns a chain, chains, characters and lines a program.
PROBLEMS, CAMPAIGNS, CHAINS = 4, 3, 6
CHARACTERS, LINES = 1_200, 32
EVERY_CHARACTERS = 40_000


@dataclass(frozen=True)
class Program:
    """One program with its verdict, safe to show (not yet escaped for HTML)."""

    source: str
    verdict: str
    verdict_class: str
    detail: str


@dataclass(frozen=True)
class Row:
    """One problem: what was written for it at each of the moments; None where nothing was recorded."""

    prompt: str
    programs: tuple[Program | None, ...]


@dataclass(frozen=True)
class Exhibit:
    """The programs of one campaign. `moments` are captions like `peak, step 9`."""

    style: str
    label: str
    campaign: int
    moments: tuple[str, ...]
    rows: tuple[Row, ...]
    every: str = ""
    """The programs of all steps as JSON, for the page's script: `prompts`, `programs` ([source, verdict, class,
    detail], equal ones once) and `steps` ([step, index of each prompt's program or null]); as many steps as fit."""


def exhibits(groups: Sequence[Group]) -> list[Exhibit]:
    """The first seed of each group; of its campaigns the first, the last and the one that lost most."""
    found = []
    for g in groups[:CHAINS]:
        for curve in _chosen(g.runs[0].campaigns):
            exhibit = _exhibit(g, curve)
            if exhibit is not None:
                found.append(exhibit)
    return found


def _chosen(campaigns: Sequence[Trajectory]) -> list[Trajectory]:
    told = [curve for curve in campaigns if curve.facts and curve.facts.shown]
    if len(told) <= CAMPAIGNS:
        return told
    worst = max(told[1:-1], key=lambda curve: measure_campaign(curve).gap)
    return [told[0], worst, told[-1]]


def _exhibit(g: Group, curve: Trajectory) -> Exhibit | None:
    assert curve.facts is not None
    shown = curve.facts.shown
    m = measure_campaign(curve)
    start = int(curve.steps_S[0])
    captions: dict[int, list[str]] = {}
    for step, name in ((start, "start"), (m.peak_step, "peak"), (m.end_step, "end")):
        if step in shown:
            captions.setdefault(step, []).append(name)
    if not captions:
        return None
    by_step = {step: {str(item.get("task_id")): item for item in shown[step]} for step in captions}
    tasks = list(dict.fromkeys(task for items in by_step.values() for task in items))[:PROBLEMS]
    rows = tuple(
        Row(_prompt(by_step, task), tuple(_program(items.get(task)) for items in by_step.values())) for task in tasks
    )
    moments = tuple(f"{' = '.join(names)}, step {step}" for step, names in captions.items())
    return Exhibit(g.style, g.label, number_of(curve), moments, rows, _every(shown))


def _every(shown: Mapping[int, Sequence[Mapping[str, Any]]]) -> str:
    """The steps to show: if there are too many, every second one, or every fourth ..."""
    steps = sorted(shown)
    while len(steps) > 1:
        text = _as_json({step: shown[step] for step in steps})
        if len(text) <= EVERY_CHARACTERS:
            return text
        steps = steps[::2]
    return ""


def _as_json(shown: Mapping[int, Sequence[Mapping[str, Any]]]) -> str:
    by_step = {step: {str(item.get("task_id")): item for item in items} for step, items in shown.items()}
    tasks = list(dict.fromkeys(task for items in by_step.values() for task in items))[:PROBLEMS]
    places: dict[tuple[str, ...], int] = {}

    def place(item: Mapping[str, Any] | None) -> int | None:
        found = _program(item)
        if found is None:
            return None
        return places.setdefault((found.source, found.verdict, found.verdict_class, found.detail), len(places))

    rows = [[step, *(place(items.get(task)) for task in tasks)] for step, items in by_step.items()]
    prompts = [_prompt(by_step, task) for task in tasks]
    return json.dumps({"prompts": prompts, "programs": [list(key) for key in places], "steps": rows})


def _prompt(by_step: Mapping[int, Mapping[str, Mapping[str, Any]]], task: str) -> str:
    prompt = next((str(items[task].get("prompt", "")) for items in by_step.values() if task in items), "")
    return visible(prompt or task, 400, lines=8)


def _program(item: Mapping[str, Any] | None) -> Program | None:
    if item is None:
        return None
    verdict = str(item.get("verdict", ""))
    known = verdict in {v.value for v in Verdict}
    return Program(
        visible(str(item.get("program", "")), CHARACTERS, lines=LINES),
        visible(verdict.replace("_", " "), 40),
        verdict if known else "other",
        visible(str(item.get("detail", "")), 240),
    )
