"""SIGKILL at any instant, then the same command: the same events (times aside) and the same weights as an
undisturbed run."""

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

import fakes
from crestfall.testbed.config import RunConfig, run_config
from crestfall.testbed.session import train

OPTIONS = fakes.options(
    campaign=fakes.options()["campaign"] | {"steps": 5},
    control={"name": "early_stop", "then": "go_on", "margin": 1},
)


# Audit events of what changes a directory (an `open` may read; killing there does no harm).
DISK = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.truncate"}


def outcome(path: Path) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Events without times, and the bytes of all snapshots that are kept."""
    events = [json.loads(line) for line in (path / "events.jsonl").read_text().splitlines()]
    timeless = [{key: value for key, value in event.items() if key not in ("time", "seconds")} for event in events]
    snapshots = {p.parent.name: p.read_bytes() for p in (path / "checkpoints").glob("*/snapshot.safetensors")}
    return timeless, snapshots


def dies_at(count: int, config: RunConfig, path: Path) -> bool:
    """Train in a child that is killed at its `count`-th operation on the run directory. False if it got to the end."""
    child = os.fork()
    if child == 0:
        left = count

        def hook(event: str, args: tuple[Any, ...]) -> None:
            nonlocal left
            if event in DISK and str(path) in str(args[:2]):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            train(config, path, {})
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def check_points(points: list[int], tmp_path: Path, options: dict[str, Any] = OPTIONS) -> int:
    """How many of the points came before the end of the run."""
    config = run_config(options)
    train(config, tmp_path / "whole", {})
    whole = outcome(tmp_path / "whole")
    killed = 0
    for count in points:
        path = tmp_path / f"killed-{count}"
        killed += dies_at(count, config, path)
        train(config, path, {})
        assert outcome(path) == whole, f"killed at operation {count}"
    return killed


def test_killed_at_operations_on_the_run_directory(tmp_path: Path) -> None:
    points = [1, 2, 3, *random.Random(0).sample(range(4, 320), 15)]
    assert check_points(points, tmp_path) > 12


# The second campaign starts from the first one's peak and is skipped: whatever its end/peak, it is a reject.
CARE = OPTIONS | {
    "care": {
        "name": "care_v2",
        "gate": {"form": "four_way", "reuse_from": 1.0, "adapt_from": 1.0, "pilot_from": 1.0},
    },
    "chain": {"campaigns": 2, "final": 10, "hard_cases": 4, "ood": 3, "revisit": 1},
    "control": {"name": "none"},
    "update": {"name": "fake", "learning_rate": 0.4},
}


def test_killed_where_a_chain_is_controlled(tmp_path: Path) -> None:
    assert check_points(random.Random(2).sample(range(4, 260), 8), tmp_path, CARE) > 5
    events, _ = outcome(tmp_path / "whole")
    assert [event["verdict"] for event in events if event["type"] == "care"] == ["reuse", "reject"]
    memories = {(path / "memory.json").read_bytes() for path in tmp_path.iterdir()}
    assert len(memories) == 1


@pytest.mark.slow
def test_killed_at_every_operation_on_the_run_directory(tmp_path: Path) -> None:
    check_points(list(range(1, 900)), tmp_path)


@pytest.mark.parametrize("restore", ["weights_and_optimizer", "weights"])
def test_killed_again_and_again(tmp_path: Path, restore: str) -> None:
    config = run_config(OPTIONS | {"campaign": OPTIONS["campaign"] | {"restore": restore}})
    train(config, tmp_path / "whole", {})
    chance = random.Random(1)
    for _ in range(200):
        if not dies_at(chance.randrange(30, 120), config, tmp_path / "r"):
            break
    else:
        pytest.fail("never got to the end")
    assert outcome(tmp_path / "r") == outcome(tmp_path / "whole")


def start(options: dict[str, Any], path: Path, step_seconds: float) -> subprocess.Popen[str]:
    """`crestfall run` in a process of its own, in directory `path`."""
    file = path.with_suffix(".json")
    file.write_text(json.dumps(options))
    command = [sys.executable, "-m", "crestfall.cli.main", "run", str(file), "--out", str(path)]
    environment = os.environ | {fakes.STEP_SECONDS: str(step_seconds)}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for(path: Path, text: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < deadline, f"{path}: {text!r} never came"
        time.sleep(0.02)


def test_killed_by_the_clock(tmp_path: Path) -> None:
    """The real command in a real process, at moments that nobody chose."""
    train(run_config(OPTIONS), tmp_path / "whole", {})
    for step in (0, 2, 4):
        process = start(OPTIONS, tmp_path / "r", 0.05)
        wait_for(tmp_path / "r" / "events.jsonl", f'"campaign": 0, "step": {step},')
        time.sleep(0.03 * step)
        process.kill()
        process.communicate()
    train(run_config(OPTIONS), tmp_path / "r", {})
    assert outcome(tmp_path / "r") == outcome(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_stop_it_finishes_the_step_and_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    process = start(OPTIONS, tmp_path / "r", 0.3)
    wait_for(tmp_path / "r" / "events.jsonl", '"step": 1')
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "the same command continues from here" in errors
    assert json.loads((tmp_path / "r" / "run.json").read_text())["status"] == "interrupted"
    for name in ("r", "whole"):
        train(run_config(OPTIONS), tmp_path / name, {})
    assert outcome(tmp_path / "r") == outcome(tmp_path / "whole")


def test_asked_twice_it_stops_at_once(tmp_path: Path) -> None:
    process = start(OPTIONS, tmp_path / "r", 600)
    wait_for(tmp_path / "r" / "events.jsonl", '"step": 0')
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    process.communicate()
    # By the signal itself where the second one came while the process was already leaving.
    assert process.returncode in (130, -signal.SIGINT)
    for name in ("r", "whole"):
        train(run_config(OPTIONS), tmp_path / name, {})
    assert outcome(tmp_path / "r") == outcome(tmp_path / "whole")
