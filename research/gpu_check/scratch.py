"""A transformer of some 25 million parameters, trained from scratch on the testbed of skill (docs/skill.md), then by
reinforcement: does it rise, does it collapse at a rate that is too high, and what holds it there?"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crestfall.core.types import Problem, Verdict
from crestfall.grading import CodeGrader, Limits
from crestfall.testbed.policies.tiny.model import Shape, TinyTransformer
from crestfall.testbed.policies.tiny.policy import LoadedTiny
from crestfall.testbed.tasks.base import Sizes
from crestfall.testbed.tasks.builtin import Builtin
from research.gpu_check.place import Place
from research.gpu_check.report import Section
from research.warmstart.corpus import Example, vocabulary
from research.warmstart.train import supervised_loss


@dataclass(frozen=True)
class Plan:
    width: int = 512
    layers: int = 8
    heads: int = 8
    examples: int = 100_000
    batch: int = 256
    learning_rate: float = 6e-4
    seconds: float = 40.0
    """Limit of supervised training."""
    enough: float = 0.4
    """pass@1 at which supervised training ends, so that there is something left to learn."""
    every: int = 25
    """Supervised steps between two looks at pass@1."""
    seeds: tuple[int, ...] = (7000, 7001)
    steps: int = 20
    """Steps of the campaign."""
    problems: int = 50
    rate: float = 1e-4
    too_high: float = 1.5e-3
    """Learning rate at the last step, up to which it grows."""

    @property
    def arms(self) -> dict[str, dict[str, Any]]:
        growing = {"learning_rate": self.too_high, "warmup_updates": self.steps}
        return {
            "steady": {"update": {"learning_rate": self.rate, "warmup_updates": 5}},
            "faster": {"update": growing},
            "es": {"update": growing, "control": {"name": "early_stop"}},
            "metered": {"update": growing | {"pace": {"name": "norm"}}},
        }


SMALL = Plan(width=64, layers=2, heads=2, examples=600, batch=32, seconds=5.0, seeds=(7000,), steps=2, problems=4)


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
    """Weights after supervised training up to the pass@1 that is enough, or to the end of its time."""
    policy = LoadedTiny(TinyTransformer(Shape(len(vocabulary()), plan.width, plan.layers, plan.heads)), vocabulary())
    model = policy.model
    model.initialise(torch.Generator().manual_seed(0))
    model.to(place.device)
    corpus = examples(place.scratch / "corpus", plan)
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    problems = Builtin(levels=(3,)).campaign(0, 0, Sizes(1, 40, 1)).select
    end, step, passed, loss = time.monotonic() + plan.seconds, 0, 0.0, torch.tensor(float("nan"))
    with CodeGrader(Limits(workers=1 if place.rehearse else 4)) as grader:
        while time.monotonic() < end and passed < plan.enough:
            start = step * plan.batch % (len(corpus) - plan.batch + 1)
            optimizer.param_groups[0]["lr"] = plan.learning_rate * min(1.0, (step + 1) / 50)
            with torch.autocast(place.device, torch.bfloat16, enabled=place.cuda):
                loss = supervised_loss(model, corpus[start : start + plan.batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            if step % plan.every == 0:
                passed = _pass_at_1(policy, problems, grader)
    section.add("parameters", f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} M")
    section.add("supervised examples drawn", len(corpus))
    section.add("supervised steps, last loss, pass@1 then", f"{step}, {float(loss.detach()):.3f}, {100 * passed:.0f}")
    path = place.scratch / "scratch.safetensors"
    policy.write(path, {"steps": step})
    return path


def _pass_at_1(policy: LoadedTiny, problems: Sequence[Problem], grader: CodeGrader) -> float:
    uniforms = np.random.default_rng(0).random((len(problems), 8, 48), dtype=np.float32)
    samples = policy.sample(problems, uniforms, 1.0)
    grades = grader.grade_batch(list(zip(samples.problem_N, samples.programs_N, strict=True)))
    return float(np.mean([grade.verdict is Verdict.PASSED for grade in grades]))


def campaigns(place: Place, section: Section) -> None:
    """A transformer trained from scratch on this machine until it passes four problems in ten; then campaigns on other
    problems: REINFORCE at a good rate (steady) and at one that grows too high (faster), there with early stopping (es)
    and with every step metered. pass@1 on report, in percent; every point is in scratch.csv."""
    plan = SMALL if place.rehearse else Plan()
    weights = trained(place, section, plan)
    running = {(arm, seed): _start(place, plan, weights, arm, seed) for arm in plan.arms for seed in plan.seeds}
    rows = []
    for (arm, seed), (process, path) in running.items():
        _, errors = process.communicate()
        if process.returncode:
            section.add(f"{arm}, seed {seed}", "failed", " ".join(errors.strip().splitlines()[-1:]), ok=False)
            continue
        report, final = _curves(path)
        rows += [{"method": arm, "seed": seed, "step": i, "report": round(v, 4)} for i, v in enumerate(report)]
        section.add(f"{arm}, seed {seed}: report at every step", " ".join(f"{100 * value:.0f}" for value in report))
        section.add(f"{arm}, seed {seed}: final set, {', '.join(final)}", _percent(*final.values()))
    with (place.out / "scratch.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("method", "seed", "step", "report"))
        writer.writeheader()
        writer.writerows(rows)


def _percent(*values: float) -> str:
    return ", ".join(f"{100 * value:.1f}" for value in values)


def _start(place: Place, plan: Plan, weights: Path, arm: str, seed: int) -> tuple[subprocess.Popen[str], Path]:
    path = place.scratch / f"scratch-{arm}-{seed}"
    options = plan.arms[arm]
    small = {"select": 4, "report": 4, "eval_samples": 4, "group_size": 8}
    config: dict[str, Any] = {
        "seed": seed,
        "tasks": {"name": "builtin", "levels": [3]},
        "policy": {"name": "tiny", "weights": str(weights), "device": place.device},
        "update": {"name": "reinforce", "baseline": "batch_mean", **options["update"]},
        "control": options.get("control", {"name": "none"}),
        "campaign": {
            "steps": plan.steps,
            "problems_per_step": plan.problems,
            "train": 20 * plan.problems,
            "temperature": 1.0,
            "greedy": False,
            **(small if place.rehearse else {"select": 40, "report": 60, "eval_samples": 8, "group_size": 16}),
        },
        "chain": {"campaigns": 1, "final": 4 if place.rehearse else 100, "final_samples": 4},
        "grader": {"workers": 1},
    }
    file = path.with_suffix(".yaml")
    file.write_text(json.dumps(config), encoding="utf-8")
    command = [sys.executable, "-m", "crestfall", "run", str(file), "--out", str(path)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True), path


def _curves(path: Path) -> tuple[list[float], dict[str, float]]:
    """pass@1 on report at every step, and on the final set by moment."""
    events = [json.loads(line) for line in (path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    report = [event["report"]["pass_at_1"] for event in events if event["type"] == "step"]
    return report, {e["when"]: e["evaluation"]["pass_at_1"] for e in events if e["type"] == "final"}
