"""`kill -9` in the middle of a run on the device, then the same command: is it the undisturbed run?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from research.gpu_check.models import SHAPES, save
from research.gpu_check.place import Place, relative_error
from research.gpu_check.report import Section

PATIENCE = 240.0  # seconds for a run of six small steps, start included


def resume(place: Place, section: Section) -> None:
    """Runs of the tiny policy and of a small Hugging Face model, each undisturbed and killed after its third step."""
    configs = {"tiny": _tiny(place), "hf": _hf(place)}
    paths = {(name, kind): place.scratch / f"kill-{name}-{kind}" for name in configs for kind in ("whole", "killed")}
    running = {key: _start(path, configs[key[0]]) for key, path in paths.items()}
    for name in configs:
        _kill(running[name, "killed"], paths[name, "killed"])
        running[name, "again"] = _start(paths[name, "killed"], configs[name])
    for (name, kind), process in running.items():
        if kind != "killed":
            _, errors = process.communicate(timeout=PATIENCE)
            last = errors.strip().splitlines()[-1:] if process.returncode else []
            section.add(
                f"{name}: {kind} run ends", process.returncode or "done", " ".join(last), not process.returncode
            )
    for name in configs:
        _compare(section, name, paths[name, "whole"], paths[name, "killed"])


CAMPAIGN = {
    "steps": 6,
    "train": 8,
    "select": 4,
    "report": 4,
    "problems_per_step": 8,
    "group_size": 8,
    "eval_samples": 4,
}
COMMON: dict[str, Any] = {
    "update": {"name": "reinforce", "learning_rate": 1e-4, "optimizer_state": "kept"},
    "campaign": CAMPAIGN,
    "chain": {"campaigns": 1, "final": 4, "final_samples": 2},
    "grader": {"workers": 1},
}


def _tiny(place: Place) -> dict[str, Any]:
    return COMMON | {"policy": {"name": "tiny", "device": place.device}, "tasks": {"name": "builtin"}}


def _hf(place: Place) -> dict[str, Any]:
    model = save(place.scratch / "kill-model", SHAPES["tiny"], "cpu", scale=5.0)
    policy = {"name": "hf", "model": str(model), "device": place.device, "prompt": "plain", "max_tokens": 12}
    return COMMON | {"policy": policy, "tasks": {"name": "comments"}, "plugins": ["research.gpu_check.tasks"]}


def _start(path: Path, config: dict[str, Any]) -> subprocess.Popen[str]:
    file = path.with_suffix(".yaml")
    file.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    command = [sys.executable, "-m", "crestfall", "run", str(file), "--out", str(path)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def _kill(process: subprocess.Popen[str], path: Path) -> None:
    """When the third step has been written; at the end, should the run be over before that."""
    events, end = path / "events.jsonl", time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        if events.exists() and '"step": 3,' in events.read_text(encoding="utf-8"):
            os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.02)
    process.communicate()


def _compare(section: Section, name: str, whole: Path, killed: Path) -> None:
    one, other = _events(whole), _events(killed)
    moved = any(event.get("signals", {}).get("grad_norm") for event in one)
    section.add(f"{name}: weights moved", moved, "yes", moved)
    same = len(one) == len(other)
    section.add(f"{name}: events", f"{len(one)} and {len(other)}", "equally many", same)
    equal = sum(a == b for a, b in zip(one, other, strict=False))
    section.add(f"{name}: events equal to the last digit", f"{equal} of {len(one)}", "all, on a CPU")
    last = [_last(path) for path in (whole, killed)]
    bits = all(a.equal(b) for a, b in zip(last[0].values(), last[1].values(), strict=True))
    section.add(f"{name}: last weights equal bit for bit", bits, "yes, on a CPU")
    error = relative_error(last[1], last[0])
    section.add(f"{name}: relative difference of the last weights", error, "below 0.02", error < 0.02)


def _events(path: Path) -> list[dict[str, Any]]:
    lines = (path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in ("time", "seconds")} for line in lines]


def _last(path: Path) -> dict[str, Any]:
    file = sorted((path / "checkpoints").glob("*/snapshot.safetensors"))[-1]
    return {name: tensor for name, tensor in load_file(file).items() if name.startswith("policy/")}
