"""A chain of the trl engine (rollbacks, kept Adam, two campaigns, the real grader), killed and gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_kill import dies_at, outcome

from crestfall.testbed.config import run_config
from crestfall.testbed.session import train

pytest.importorskip("trl")

pytestmark = [pytest.mark.trl, pytest.mark.filterwarnings("ignore:.*:FutureWarning")]

OPTIONS: dict[str, Any] = {
    "tasks": {"name": "builtin", "levels": [2]},
    "engine": {"name": "trl", "device": "cpu", "microbatch": 4},
    "update": {"name": "reinforce", "learning_rate": 1e-3, "warmup_updates": 3, "optimizer_state": "kept"},
    "control": {"name": "early_stop", "then": "go_on", "margin": 1},
    "campaign": {
        "steps": 3,
        "train": 4,
        "select": 3,
        "report": 2,
        "problems_per_step": 2,
        "group_size": 4,
        "eval_samples": 2,
    },
    "chain": {"campaigns": 2, "final": 2, "final_samples": 2},
    "grader": {"workers": 1},
}


def test_a_killed_run_is_the_undisturbed_run(tmp_path: Path) -> None:
    config = run_config(OPTIONS)
    train(config, tmp_path / "whole", {})
    events, snapshots = outcome(tmp_path / "whole")
    orders = [event["train"] for event in events if event["type"] == "campaign_started"]
    assert len(orders) == 2
    assert not set(orders[0]) & set(orders[1])
    assert dies_at(120, config, tmp_path / "killed")
    train(config, tmp_path / "killed", {})
    assert outcome(tmp_path / "killed") == (events, snapshots)
