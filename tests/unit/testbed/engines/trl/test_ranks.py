"""Two processes (DDP over gloo) with a rollback in the middle: one leads, both hold the same, down to the bit."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from crestfall.cli.main import main

pytestmark = [pytest.mark.trl, pytest.mark.filterwarnings("ignore:.*:FutureWarning")]

SMALL: dict[str, Any] = {
    "tasks": {"name": "builtin", "levels": [2]},
    "update": {"name": "reinforce", "learning_rate": 1e-3, "warmup_updates": 4},
    "engine": {"name": "trl", "device": "cpu", "microbatch": 4},
    "control": {"name": "back_to_1_at_2"},
    "campaign": {"steps": 3, "train": 6, "select": 3, "report": 3, "problems_per_step": 3, "group_size": 4,
                 "eval_samples": 2, "greedy": False},
    "chain": {"campaigns": 1, "final": 3, "final_samples": 2},
    "grader": {"workers": 1},
    "plugins": ["scripted_control"],
}  # fmt: skip


def write(path: Path, **over: Any) -> Path:
    path.write_text(json.dumps(SMALL | over))  # JSON is YAML
    return path


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def launch(words: list[str], world: int = 2) -> list[str]:
    """Start the same command in `world` ranks; their outputs."""
    ports = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    here = str(Path(__file__).parent)
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    common = os.environ | ports | {"WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    processes = [
        subprocess.Popen(
            [sys.executable, *(word.replace("RANK", str(rank)) for word in words)],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world)
    ]
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output
    return outputs


def events(out: Path, kind: str) -> list[dict[str, Any]]:
    return [e for e in map(json.loads, (out / "events.jsonl").read_text().splitlines()) if e["type"] == kind]


@pytest.mark.slow
def test_two_processes_go_back_together_and_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, two, one = write(tmp_path / "c.yaml"), tmp_path / "two", tmp_path / "one"
    script = Path(__file__).with_name("ddp_engine.py")
    launch([str(script), str(config), str(two), str(tmp_path / "rankRANK.json")])
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))

    calls = first["calls"]
    assert calls == second["calls"]
    # Steps 0 and 1, step 2, back to step 1, step 3; each update saved, a rollback not again; then step 1 is handed on.
    names = [call["call"] for call in calls]
    step = ["update", "snapshot"]
    assert names == ["snapshot", *step, *step, "restore", *step, "restore", "snapshot"]
    peak, fallen, back, again, end = calls[1], calls[3], calls[5], calls[6], calls[8]
    assert fallen["weights"] != peak["weights"]
    for restored in (back, end):
        assert restored == peak | {"call": "restore"}
    assert (peak["adam"], fallen["adam"], again["adam"]) == ([1], [2], [2])
    assert [call["rate"] for call in (peak, fallen, back, again)] == pytest.approx([5e-4, 7.5e-4, 5e-4, 7.5e-4])
    assert again["weights"] not in (peak["weights"], fallen["weights"])

    # The number of processes changes no draw: until the first update's rounding, all is as in one process.
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    assert main(["run", str(config), "--out", str(one)]) == 0
    for a, b in zip(events(one, "step")[:2], events(two, "step")[:2], strict=True):
        assert (a["select"], a["report"], a["verdicts"]) == (b["select"], b["report"], b["verdicts"])
        assert a["signals"] == pytest.approx(b["signals"], rel=1e-4)

    # Nothing is left to run: the first process says so, and the other one is not kept waiting.
    said = launch(["-m", "crestfall", "run", str(config), "--out", str(two)])
    assert "finished before" in said[0]
    assert "finished" not in said[1]


@pytest.mark.slow
def test_two_processes_pace_alike(tmp_path: Path) -> None:
    """A rate that is far too high: both pull the same step back, and a rollback brings both back to its pace."""
    update = {"name": "reinforce", "learning_rate": 0.3, "pace": {"name": "kl"}}
    config, out = write(tmp_path / "c.yaml", update=update), tmp_path / "two"
    launch([str(Path(__file__).with_name("ddp_engine.py")), str(config), str(out), str(tmp_path / "rankRANK.json")])
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text())["calls"] for rank in (0, 1))
    assert first == second
    signals = [event["signals"] for event in events(out, "step")[1:]]
    assert all(step["step_size"] <= 0.02 for step in signals)
    assert signals[0]["step_share"] < 1
    assert signals[2]["pace"] == signals[1]["pace"]  # step 3 goes on from step 1, as step 2 did


def test_other_engines_run_in_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    config = write(tmp_path / "c.yaml", engine={"name": "native"}, control={"name": "none"}, plugins=[])
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1")):
        monkeypatch.setenv(name, value)
    assert main(["run", str(config), "--out", str(tmp_path / "r")]) == 2
    assert "engine 'native' runs in one process, not in 2" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
