"""Run directories as `docs/run_directory.md` describes them, made up in milliseconds: what report tests stand on.

The curves are simulated (a rise, and for `naive` a fall), the counts are beta-binomial, the programs are plausible or
hostile. Nothing here is a result.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SAMPLES, PROBLEMS, FINAL_PROBLEMS = 16, 30, 60
PROGRAMS = (
    "    out = []\n    for x in xs:\n        if x % 2 == 0:\n            out.append(x * 4)\n    return sum(out)\n",
    "    xs = [x for x in xs if x % 2 == 0]\n    print(sum(x * 4 for x in xs))\n",
    "    return sum(x * 4 for x in xs if x % 2)\n",
    "    return return xs xs (((\n",
)
PROMPTS = (
    "keep even, times 4, then return the sum",
    "reverse the list, then drop the first",
    "return the largest square",
)
VERDICTS = ("passed", "wrong_answer", "wrong_answer", "syntax_error")
HOSTILE = (
    "<script>window.__pwned = 1</script>",
    "</script><script>window.__pwned = 2</script>",
    '"><img src=x onerror="window.__pwned = 3">',
    "' onmouseover='window.__pwned = 4' x='",
    "]]><svg onload=window.__pwned=5>",
    "admin\u202e\u2066 return True \u2069\u2066# safe\u202c",
    "a\x00b\x1b[31mred\x07\x08\x7f\x9b",
    "lone \ud800 surrogate and \ufeff bom \u200b zero width",
    "{{ 7 * 7 }}{% for x in y %} {{ config }}",
    "x = 1\n" * 20_000,
    "A" * 100_000,
    "<!-- <style>body{display:none}</style> &lt;script&gt;",
)


def write_run(
    path: Path,
    *,
    method: str = "naive",
    seed: int = 0,
    campaigns: int = 3,
    budget: int = 12,
    status: str = "done",
    programs: Sequence[str] = PROGRAMS,
    competence: bool = True,
    stop_after_events: int | None = None,
) -> Path:
    """Write one run directory and return it. `stop_after_events` cuts the log short, as in a run in progress."""
    path.mkdir(parents=True, exist_ok=True)
    events = list(_events(method, seed, campaigns, budget, programs, competence))[:stop_after_events]
    lines = [json.dumps({"seq": seq, "time": 1.7e9 + seq} | event) for seq, event in enumerate(events)]
    (path / "events.jsonl").write_text("".join(line + "\n" for line in lines))
    (path / "run.json").write_text(json.dumps(_run_json(method, seed, campaigns, budget, status)))
    return path


def write_study(
    path: Path, *, methods: Sequence[str] = ("naive", "es"), seeds: Sequence[int] = (1, 2), **options: Any
) -> Path:
    """Write a study directory of methods x seeds and return it."""
    cells = [{"method": method, "seed": seed} for method in methods for seed in seeds]
    for cell in cells:
        write_run(path / "cells" / cell["method"] / f"seed-{cell['seed']}", **cell, **options)
    (path / "study.json").write_text(
        json.dumps({"config": {"seeds": list(seeds)}, "config_digest": "c0ffee" * 8, "cells": cells, "status": "done"})
    )
    return path


def _run_json(method: str, seed: int, campaigns: int, budget: int, status: str) -> dict[str, Any]:
    control = {"naive": "none", "es": "early_stop"}.get(method, method)
    return {
        "config": {
            "seed": seed,
            "method": method,
            "chain": {"campaigns": campaigns},
            "campaign": {"steps": budget, "problems_per_step": 10, "temperature": 0.7},
            "control": {"name": control},
            "update": {"name": "reinforce", "baseline": "batch_mean", "learning_rate": 8e-4},
        },
        "config_digest": f"{seed:02x}" + "ab" * 31,
        "seed": seed,
        "method": method,
        "provenance": {
            "crestfall": "0.1.0",
            "python": "3.11.2",
            "packages": {"torch": "2.13.0", "numpy": "2.1.0"},
            "git": {"commit": "9aba3f9", "dirty": False},
            "machine": {"cpu": "2 cores", "system": "Linux"},
            "sandbox": {"layers": ["rlimit", "no_new_privs", "network namespace"]},
        },
        "status": status,
    }


def _level(method: str, campaign: int, step: int, entry: float) -> float:
    """The true pass@1 after `step` updates of a campaign that was entered at level `entry`."""
    top = min(0.72, entry + 0.35 / (1 + 0.5 * campaign))
    rise = entry + (top - entry) * (1 - np.exp(-step / 2.5))
    fall = 1 / (1 + np.exp((step - 8.5) / 0.8)) if method != "plateau" else 1.0
    return float(max(0.0, rise * fall))


def _evaluation(rng: np.random.Generator, level: float, problems: int, competence: bool) -> dict[str, Any]:
    ability = rng.beta(max(level, 1e-3) * 3, max(1 - level, 1e-3) * 3, problems)
    passed = rng.binomial(SAMPLES, ability)
    out: dict[str, Any] = {"n": SAMPLES, "pass_at_1": passed.sum() / (SAMPLES * problems), "passed": passed.tolist()}
    if competence:
        competent = np.minimum(SAMPLES, passed + rng.binomial(SAMPLES - passed, max(0.0, 0.3 - 0.4 * level)))
        out |= {"competence": competent.sum() / (SAMPLES * problems), "competent": competent.tolist()}
    greedy = (ability > 0.5).astype(int)
    return out | {"greedy_pass_at_1": float(greedy.mean()), "greedy": greedy.tolist()}


def _signals(rng: np.random.Generator, level: float, step: int) -> dict[str, float]:
    broken = max(0.0, 0.6 - level)
    return {
        "reward": level,
        "entropy": 0.25 + 2 * broken**2 * min(1.0, step / 8) + float(rng.normal(0, 0.01)),
        "length": 26 + 30 * broken + float(rng.normal(0, 0.4)),
        "truncated": max(0.0, broken - 0.3) * min(1.0, step / 8),
        "grad_norm": 0.4 + 3 * broken + abs(float(rng.normal(0, 0.1))),
        "kl_base": 0.02 * step + broken,
        "distinct": max(0.05, 0.8 - 0.05 * step),
    }


def _verdicts(level: float, samples: int = 160) -> dict[str, int]:
    broken = max(0.0, 0.55 - level)
    shares = {"passed": level, "syntax_error": broken, "time_limit": broken * 0.3, "runtime_error": 0.06}
    counts = {verdict: int(samples * share) for verdict, share in shares.items()}
    return counts | {"wrong_answer": max(0, samples - sum(counts.values()))}


def _decision(method: str, step: int, peak: int, budget: int) -> dict[str, Any]:
    evidence = {"value": 0.41, "peak_value": 0.5, "patience": 3}
    if method == "es" and step >= peak + 3:
        return {
            "action": "stop",
            "target_step": peak,
            "reason": "patience: 3 steps past the peak",
            "evidence": evidence,
        }
    if method == "crest" and step in (9, 11):
        return {"action": "rollback", "target_step": peak, "reason": "fall of 2.6 SE", "evidence": evidence}
    if step == budget:
        return {"action": "stop", "target_step": step, "reason": "budget", "evidence": {}}
    return {"action": "continue", "target_step": None, "reason": "", "evidence": {}}


def _shown(campaign: int, step: int, peak: int, programs: Sequence[str]) -> list[dict[str, str]]:
    stage = 1 if step == 0 else 0 if step <= peak else 3
    offsets = range(min(3, len(programs)))
    return [
        {
            "task_id": f"c{campaign}/report/{i}",
            "prompt": programs[(stage + i) % len(programs)] if programs is not PROGRAMS else PROMPTS[i],
            "program": programs[(stage + i + 3 * step) % len(programs)]
            if programs is not PROGRAMS
            else programs[stage],
            "verdict": VERDICTS[stage],
            "detail": "f([2, 3]) returned 12, expected 8" if stage else "",
        }
        for i in offsets
    ]


def _events(
    method: str, seed: int, campaigns: int, budget: int, programs: Sequence[str], competence: bool
) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng([seed, len(method)])
    entry = 0.2
    yield {"type": "run_started", "config_digest": "ab" * 32, "version": "0.1.0", "seed": seed, "method": method}
    start = _evaluation(rng, entry, FINAL_PROBLEMS, competence)
    yield {"type": "final", "campaign": -1, "when": "start", "step": 0, "evaluation": start}
    for campaign in range(campaigns):
        sets = {name: [f"c{campaign}/{name}/{i}" for i in range(PROBLEMS)] for name in ("train", "select", "report")}
        yield {"type": "campaign_started", "campaign": campaign, "budget": budget, **sets}
        values: list[float] = []
        level, lag = entry, 0
        for step in range(budget + 1):
            level = _level(method, campaign, step - lag, entry)
            select = _evaluation(rng, level, PROBLEMS, competence)
            values.append(select["pass_at_1"])
            peak = int(np.argmax(values))
            decision = _decision(method, step, peak, budget)
            yield {
                "type": "step",
                "campaign": campaign,
                "step": step,
                "select": select,
                "report": _evaluation(rng, level, PROBLEMS, competence),
                "signals": _signals(rng, level, step) if step else {},
                "verdicts": _verdicts(level) if step else {},
                "decision": decision,
                "shown": _shown(campaign, step, peak, programs),
                "seconds": {"sample": 0.2, "update": 0.3},
            }
            if decision["action"] == "rollback":
                lag = step - decision["target_step"]
                yield {"type": "rollback", "campaign": campaign, "step": step} | {
                    key: decision[key] for key in ("target_step", "reason")
                }
            if decision["action"] == "stop":
                break
        kept = decision["target_step"]
        kept_level = _level(method, campaign, kept - lag, entry) if method != "naive" else level
        for when, at, value in (("end", step, level), ("handed_on", kept, kept_level)):
            evaluation = _evaluation(rng, value, FINAL_PROBLEMS, competence)
            yield {"type": "final", "campaign": campaign, "when": when, "step": at, "evaluation": evaluation}
        yield {
            "type": "campaign_ended",
            "campaign": campaign,
            "steps": step,
            "peak_step": peak,
            "peak": values[peak],
            "end": values[-1],
            "handed_on_step": kept,
            "stopped_by": decision["reason"],
            "summary": {"start": values[0]},
        }
        if method == "care":
            yield {
                "type": "care",
                "campaign": campaign + 1,
                "budget": 10,
                "learning_rate_scale": 0.5,
                "roll_back": campaign == 0,
                "verdict": "pilot",
                "reason": "end/peak 0.310 < 0.50",
                "evidence": {"ratio": 0.31, "revised": True, "p_value": 0.013},
            }
        entry = 0.9 * kept_level + 0.02
    yield {"type": "run_ended", "campaigns": campaigns}
