"""Run directories as docs/run_directory.md says, made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

Counts = Sequence[Sequence[int]]


def evaluation(passed: Sequence[int], n: int, competent: Sequence[int] | None = None) -> dict[str, Any]:
    out: dict[str, Any] = {"n": n, "pass_at_1": sum(passed) / n / len(passed), "passed": list(passed)}
    if competent is not None:
        out["competent"] = list(competent)
    return out


def write_run(
    path: Path,
    campaigns: Sequence[tuple[Counts, Counts]],
    n: int = 16,
    seed: int = 0,
    method: str = "naive",
    handed_on: Sequence[int] | None = None,
) -> Path:
    """`campaigns`: per campaign the select and the report counts, steps x problems."""
    events: list[dict[str, Any]] = [{"type": "run_started", "method": method, "seed": seed}]
    events.append(final(-1, "start", 0, [n // 4] * 10, n))
    for c, (select, report) in enumerate(campaigns):
        events.append({"type": "campaign_started", "campaign": c, "budget": len(select) - 1})
        for step, (s, r) in enumerate(zip(select, report, strict=True)):
            events.append(
                {
                    "type": "step",
                    "campaign": c,
                    "step": step,
                    "select": evaluation(s, n),
                    "report": evaluation(r, n),
                    "signals": {"entropy": 1.0 - step / 100} if step else {},
                    "decision": {"action": "continue", "target_step": None, "reason": "", "evidence": {}},
                    "seconds": {"rollout": 0.5},
                }
            )
        last = len(select) - 1 if handed_on is None else handed_on[c]
        events.append({"type": "campaign_ended", "campaign": c, "handed_on_step": last, "stopped_by": "budget"})
        events.append(final(c, "handed_on", last, [n // 2] * 10, n))
    path.mkdir(parents=True)
    (path / "run.json").write_text(json.dumps({"seed": seed, "method": method, "status": "done", "config": {}}))
    lines = [json.dumps({"seq": i, "time": 0.0, **e}) for i, e in enumerate(events)]
    (path / "events.jsonl").write_text("\n".join(lines) + "\n")
    return path


def final(campaign: int, when: str, step: int, passed: Sequence[int], n: int) -> dict[str, Any]:
    return {"type": "final", "campaign": campaign, "when": when, "step": step, "evaluation": evaluation(passed, n)}


@pytest.fixture
def make_run() -> Callable[..., Path]:
    return write_run
