"""A transformer of some 25 million parameters, trained from scratch here on the builtin tasks, and then by
reinforcement: does it rise, and does it collapse at a rate that is too high?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from crestfall.testbed.policies.tiny.model import Shape, TinyTransformer
from crestfall.testbed.policies.tiny.policy import LoadedTiny
from research.gpu_check.place import Place
from research.gpu_check.report import Section
from research.warmstart.corpus import Example, vocabulary
from research.warmstart.train import supervised_loss


@dataclass(frozen=True)
class Plan:
    width: int = 512
    layers: int = 8
    heads: int = 8
    examples: int = 200_000
    batch: int = 256
    seconds: float = 40.0
    """Seconds of supervised training."""
    learning_rate: float = 6e-4
    steps: int = 20
    """Steps of the campaign."""
    rates: tuple[float, ...] = (1e-4, 5e-4)
    problems: int = 24


SMALL = Plan(width=64, layers=2, heads=2, examples=600, batch=32, seconds=5.0, steps=2, rates=(5e-4,), problems=4)


def examples(directory: Path, plan: Plan) -> list[Example]:
    """Drawn by as many processes as there are cores. Not beside other checks, whose seconds they would lengthen."""
    directory.mkdir()
    workers = max(1, min(12, len(os.sched_getaffinity(0)) - 2))
    files = [directory / f"{seed}.json" for seed in range(workers)]
    share = str(-(-plan.examples // workers))
    command = [sys.executable, "-m", "research.gpu_check.corpus"]
    running = [subprocess.Popen([*command, str(file), str(seed), share]) for seed, file in enumerate(files)]
    for process in running:
        process.wait()
    return [(spec, code) for file in files for spec, code in json.loads(file.read_text(encoding="utf-8"))]


def trained(place: Place, section: Section, plan: Plan) -> Path:
    """Weights after as many supervised steps as the plan has time for."""
    tokenizer = vocabulary()
    corpus = sorted(examples(place.scratch / "corpus", plan), key=lambda pair: len(pair[0]))  # less padding
    model = TinyTransformer(Shape(len(tokenizer), plan.width, plan.layers, plan.heads))
    model.initialise(torch.Generator().manual_seed(0))
    model.to(place.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    order = torch.randperm(len(corpus) // plan.batch, generator=torch.Generator().manual_seed(0)).tolist()
    end, steps, loss = time.monotonic() + plan.seconds, 0, torch.tensor(float("nan"))
    for warm in range(10**9):
        left = (end - time.monotonic()) / plan.seconds
        if left <= 0:
            break
        optimizer.param_groups[0]["lr"] = plan.learning_rate * min(1.0, (warm + 1) / 50, max(0.05, 2 * left))
        start = order[warm % len(order)] * plan.batch
        with torch.autocast(place.device, torch.bfloat16, enabled=place.cuda):
            loss = supervised_loss(model, corpus[start : start + plan.batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
    section.add("parameters", f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} M")
    section.add("supervised examples drawn", len(corpus))
    section.add("supervised steps, seconds, last loss", f"{steps}, {plan.seconds:.0f}, {float(loss.detach()):.3f}")
    path = place.scratch / "scratch.safetensors"
    LoadedTiny(model, tokenizer).write(path, {"steps": steps})
    return path


def campaigns(place: Place, section: Section) -> None:
    """A transformer trained from scratch on this machine; then a naive campaign at each rate, and what early stopping
    would have kept."""
    plan = SMALL if place.rehearse else Plan()
    weights = trained(place, section, plan)
    running = {rate: _start(place, plan, weights, rate) for rate in plan.rates}
    for rate, (process, path) in running.items():
        _, errors = process.communicate()
        if process.returncode:
            section.add(f"rate {rate:g}", "failed", " ".join(errors.strip().splitlines()[-1:]), ok=False)
            continue
        report, select = _curve(path, "report"), _curve(path, "select")
        kept = select.index(max(select))
        section.add(f"rate {rate:g}: pass@1 on report", " ".join(f"{100 * v:.0f}" for v in report))
        section.add(
            f"rate {rate:g}: start, at the best select (step {kept}), end",
            _percent(report[0], report[kept], report[-1]),
        )


def _percent(*values: float) -> str:
    return ", ".join(f"{100 * value:.1f}" for value in values)


def _start(place: Place, plan: Plan, weights: Path, rate: float) -> tuple[subprocess.Popen[str], Path]:
    path = place.scratch / f"scratch-{rate:g}"
    config: dict[str, Any] = {
        "policy": {"name": "tiny", "weights": str(weights), "device": place.device},
        "update": {"name": "reinforce", "learning_rate": rate, "warmup_updates": plan.steps},
        "campaign": {
            "steps": plan.steps,
            "problems_per_step": plan.problems,
            "train": 2 * plan.problems,
            "eval_samples": 4 if place.rehearse else 16,
            **({"select": 4, "report": 4} if place.rehearse else {}),
        },
        "chain": {"campaigns": 1, "final": 4, "final_samples": 1},
        "grader": {"workers": 1 if place.rehearse else 6},
    }
    file = path.with_suffix(".yaml")
    file.write_text(json.dumps(config), encoding="utf-8")
    command = [sys.executable, "-m", "crestfall", "run", str(file), "--out", str(path)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True), path


def _curve(path: Path, part: str) -> list[float]:
    events = [json.loads(line) for line in (path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    return [event[part]["pass_at_1"] for event in events if event["type"] == "step"]
