"""A chain of a Hugging Face model (adapters, real gradient steps, the real grader), killed and gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_kill import dies_at, outcome

import tiny_hf
from crestfall.testbed.config import run_config
from crestfall.testbed.session import train

pytest.importorskip("transformers")

OPTIONS: dict[str, Any] = {
    "tasks": {"name": "comments"},
    "update": {"name": "reinforce", "learning_rate": 1e-2, "warmup_updates": 3, "optimizer_state": "kept"},
    "control": {"name": "early_stop", "then": "go_on", "margin": 1},
    "campaign": {
        "steps": 3,
        "train": 4,
        "select": 3,
        "report": 2,
        "problems_per_step": 2,
        "group_size": 4,
        "eval_samples": 4,
        "temperature": 1.0,
    },
    "chain": {"campaigns": 2, "final": 2, "final_samples": 2},
    "grader": {"workers": 1},
}


def test_a_killed_run_is_the_undisturbed_run(tmp_path: Path) -> None:
    model = {"model": str(tiny_hf.save(tmp_path / "model")), "device": "cpu", "lora": {"rank": 4}, "max_tokens": 12}
    config = run_config(OPTIONS | {"policy": {"name": "hf", **model}})
    train(config, tmp_path / "whole", {})
    events, snapshots = outcome(tmp_path / "whole")
    steps = [event for event in events if event["type"] == "step" and event["step"]]
    assert any(event["signals"]["grad_norm"] > 0 for event in steps)
    assert dies_at(120, config, tmp_path / "killed")
    train(config, tmp_path / "killed", {})
    assert outcome(tmp_path / "killed") == (events, snapshots)
