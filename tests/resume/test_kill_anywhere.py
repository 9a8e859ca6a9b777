"""A study of four cells of the real engine, killed at random places: the study, a cell, or a process that grades for
one. Whatever is killed and how often, what the study ends with is what it ends with undisturbed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

KILLS = int(os.environ.get("CRESTFALL_KILLS", "9"))
SMALL = {
    "seeds": [0, 1],
    "methods": {"naive": {}, "crest": {"control": {"name": "crest"}}},
    "campaign": {"steps": 3, "train": 4, "select": 3, "report": 3, "problems_per_step": 4, "group_size": 4,
                 "eval_samples": 4},
    "chain": {"campaigns": 2, "final": 4, "final_samples": 2},
    "update": {"name": "reinforce", "learning_rate": 5e-3},
}  # fmt: skip


def start(file: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "crestfall",
        "study",
        str(file),
        "--out",
        str(file.parent / "out"),
        "--workers",
        "2",
    ]
    log = (file.parent / "log").open("ab")
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, stdout=log, stderr=log, env=env, start_new_session=True)


def descendants(pid: int) -> list[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    found, front = [], [pid]
    while front:
        front = [child for child, parent in parents.items() if parent in front]
        found += front
    return found


def victims(study: int, what: str) -> list[int]:
    """Processes to kill: the study itself, its cells, or what the cells have started."""
    if what == "study":
        return [study]
    cells = [pid for pid in descendants(study) if "crestfall.cli.cell" in command_of(pid)]
    cells = [pid for pid in cells if not any(pid in descendants(other) for other in cells if other != pid)]
    return cells if what == "cell" else [pid for cell in cells for pid in descendants(cell)]


def command_of(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def kill_somewhere(process: subprocess.Popen[bytes], rng: random.Random, what: str) -> bool:
    deadline = time.monotonic() + rng.uniform(0.5, 9)
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    while process.poll() is None:
        if found := victims(process.pid, what):
            try:
                os.kill(rng.choice(found), signal.SIGKILL)
            except ProcessLookupError:
                continue
            return True
        time.sleep(0.05)
    return False


def done(out: Path) -> bool:
    states = [json.loads(file.read_text())["status"] for file in out.glob("cells/*/*/run.json")]
    return states == ["done"] * 4


def ending(out: Path) -> dict[str, Any]:
    """Events without their times, and every snapshot byte by byte."""
    found: dict[str, Any] = {}
    for log in sorted(out.glob("cells/*/*/events.jsonl")):
        lines = log.read_text().splitlines()
        events = [{k: v for k, v in json.loads(line).items() if k not in ("time", "seconds")} for line in lines]
        found[str(log.relative_to(out))] = events
    for file in sorted(out.glob("cells/*/*/checkpoints/*/snapshot.safetensors")):
        if not file.parent.is_symlink():
            found[str(file.relative_to(out))] = file.read_bytes()
    return found


@pytest.mark.slow
def test_a_study_killed_anywhere_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.json").write_text(json.dumps(SMALL))
    assert start(tmp_path / "whole" / "study.json").wait(timeout=600) == 0
    whole, kills, rng, round_ = (
        ending(tmp_path / "whole" / "out"),
        {"study": 0, "cell": 0, "grader": 0},
        random.Random(KILLS),
        0,
    )
    while sum(kills.values()) < KILLS:
        round_ += 1
        file = tmp_path / f"round{round_}" / "study.json"
        file.parent.mkdir()
        file.write_text(json.dumps(SMALL))
        while not done(file.parent / "out"):
            process, what = start(file), rng.choice(list(kills))
            if sum(kills.values()) < KILLS and kill_somewhere(process, rng, what):
                kills[what] += 1
            process.wait(timeout=600)
        assert ending(file.parent / "out") == whole, (round_, kills)
        print(f"round {round_}: identical after {kills}", flush=True)
