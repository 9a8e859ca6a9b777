"""The checks in their order: the most important first, and what takes long last."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from crestfall.testbed.policies.hf import Lora
from research.gpu_check import kill, machine, measure, peers, same, scratch
from research.gpu_check.models import SHAPES, save
from research.gpu_check.place import Place
from research.gpu_check.report import Section, Skipped


@dataclass(frozen=True)
class Check:
    name: str
    run: Callable[[Place, Section], None]
    """Adds rows to the section; its docstring says what of."""
    seconds: float
    """Skipped where less is left."""


def checks(rehearse: bool) -> list[Check]:
    all_of_them = [
        Check("machine", machine.ceilings, 5),
        Check("tiny policy", same.tiny, 10),
        Check("small models", same.hugging_face, 40),
        Check("kill and resume", kill.resume, 45),
        Check("0.5B", half_billion, 60),
        Check("3B", three_billion, 107),
        Check("0.5B variants", variants, 75),
        Check("trl", one_process, 40),
        Check("from scratch", scratch.campaigns, 150),
    ]
    return [replace(check, seconds=0) for check in all_of_them] if rehearse else all_of_them


def half_billion(place: Place, section: Section) -> None:
    """Qwen2.5-0.5B's shape, all weights trained, computed in bfloat16."""
    name, config = _model(place, "0.5B", measure.Work(), dtype="bfloat16")
    measure.measure(place, section, name, config)
    peers.compare(place, section, name, config)


def three_billion(place: Place, section: Section) -> None:
    """Qwen2.5-3B's shape with LoRA of rank 16, computed in bfloat16, without and with gradient checkpointing."""
    work = measure.Work(tokens=64)
    name, config = _model(place, "3B", work, dtype="bfloat16", lora=_lora())
    measure.measure(place, section, f"{name} LoRA", config)
    checkpointed = replace(config, policy=replace(config.policy, gradient_checkpointing=True))
    measure.measure(place, section, f"{name} LoRA, checkpointing", checkpointed)
    peers.compare(place, section, f"{name} LoRA", config)


def variants(place: Place, section: Section) -> None:
    """The 0.5B shape in other ways: memory against the bound, and how much slower or faster."""
    for label, options in (
        ("LoRA", {"dtype": "bfloat16", "lora": _lora()}),
        ("checkpointing", {"dtype": "bfloat16", "gradient_checkpointing": True}),
        ("float32", {"dtype": "float32"}),
    ):
        name, config = _model(place, "0.5B", measure.Work(tokens=64), **options)
        measure.measure(place, section, f"{name} {label}", config)


def _lora() -> Lora:
    if importlib.util.find_spec("peft") is None:
        raise Skipped("peft is not installed")
    return Lora(rank=16)


def _model(place: Place, size: str, work: measure.Work, **options: Any) -> tuple[str, Any]:
    """The name of a shape and a configuration of it; in a rehearsal a tiny model stands in."""
    name = "tiny" if place.rehearse else size
    directory = place.scratch / f"model-{name}"
    if not directory.exists():
        save(directory, SHAPES[name], place.device)
    if place.rehearse:
        work = measure.Work(problems=2, group=4, tokens=12)
    return size, measure.config_of(directory, work, place.device, **options)


def one_process(place: Place, section: Section) -> None:
    """A campaign of the tiny policy through engine trl in one process."""
    if importlib.util.find_spec("trl") is None:
        raise Skipped("trl is not installed")
    options = ["campaign.steps=2", "campaign.train=4", "campaign.problems_per_step=4", "campaign.group_size=4"]
    options += ["campaign.select=2", "campaign.report=2", "campaign.eval_samples=2"]
    options += ["chain.campaigns=1", "chain.final=2", "chain.final_samples=1", "engine.name=trl"]
    options += [f"engine.device={'auto' if place.cuda else 'cpu'}"]
    command = [sys.executable, "-m", "crestfall", "run", "chain", *options, "--out", str(place.scratch / "trl")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    last = " ".join(done.stderr.strip().splitlines()[-1:]) if done.returncode else ""
    section.add("a campaign of two steps ends", "done" if not done.returncode else last, "done", not done.returncode)
