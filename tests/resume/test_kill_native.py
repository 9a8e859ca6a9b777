"""The same with nothing faked: real gradient steps, real programs in the real sandbox, killed by the clock."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_kill import outcome, wait_for

OPTIONS = {
    "tasks": {"name": "builtin", "levels": [2]},
    # Everything with a state of its own, at once.
    "update": {
        "name": "reinforce",
        "baseline": "running_mean",
        "learning_rate": 1e-3,
        "warmup_updates": 3,
        "optimizer_state": "kept",
        "schedule": "linear",
        "kl": {"name": "adaptive", "reference": "start", "target": 1e-4},
        "ewc": {"name": "fisher", "strength": 1.0, "problems": 3, "samples": 2},
        "pace": {"name": "kl", "target": 1e-3},
    },
    "control": {"name": "early_stop", "then": "go_on", "margin": 1},
    "campaign": {
        "steps": 3,
        "train": 6,
        "select": 4,
        "report": 4,
        "problems_per_step": 3,
        "group_size": 4,
        "eval_samples": 4,
        "hand_on": "mean",
    },
    "chain": {"campaigns": 2, "final": 4, "final_samples": 2},
    "grader": {"workers": 1},
}


def start(path: Path) -> subprocess.Popen[str]:
    config = path.with_suffix(".yaml")
    config.write_text(json.dumps(OPTIONS))  # JSON is YAML
    command = [sys.executable, "-m", "crestfall.cli.main", "run", str(config), "--out", str(path)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.slow
def test_a_real_run_killed_at_several_points_is_the_undisturbed_run(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole")
    chance = random.Random(0)
    for campaign, step in ((0, 0), (0, 2), (1, 1)):
        process = start(tmp_path / "r")
        wait_for(tmp_path / "r" / "events.jsonl", f'"campaign": {campaign}, "step": {step},', seconds=300)
        try:
            process.wait(chance.uniform(0.0, 0.5))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    last = start(tmp_path / "r")
    for process in (whole, last):
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert outcome(tmp_path / "r") == outcome(tmp_path / "whole")
