"""Studies on a real Ray cluster: a worker dies in the middle, Ctrl-C, and the same results as local ones."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from test_kill_study import METHODS, events, finish, has_step, start, status, wait

import fakes

pytest.importorskip("ray", reason="Ray is not installed (extra ray): nothing of --executor ray is tested")


@pytest.fixture(autouse=True)
def _cluster_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """`RAY_ADDRESS=local`: no cluster of this machine's user is touched."""
    monkeypatch.setenv("RAY_ADDRESS", "local")


def study_in(folder: Path) -> Path:
    folder.mkdir()
    file = folder / "study.json"
    file.write_text(json.dumps(fakes.options(seeds=[0], methods=METHODS)))
    return file


def weights(out: Path, method: str) -> dict[str, bytes]:
    snapshots = (out / "cells" / method / "seed-0" / "checkpoints").glob("*/snapshot.safetensors")
    return {path.parent.name: path.read_bytes() for path in snapshots}


def kill_worker_of(out: Path, cell: str) -> None:
    """SIGKILL for the Ray worker that a cell's process, the holder of its lock, was started by."""
    holder = (out / "cells" / cell / ".lock").read_text().strip()
    parent = int(Path(f"/proc/{holder}/stat").read_text().rpartition(")")[2].split()[1])
    assert "ray" in Path(f"/proc/{parent}/cmdline").read_text()
    os.kill(parent, signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_is_killed_and_the_results_are_those_of_the_local_executor(tmp_path: Path) -> None:
    local, remote = study_in(tmp_path / "local"), study_in(tmp_path / "ray")
    finish(start(local, "--workers", "2"))
    out = remote.parent / "out"
    process = start(remote, "--executor", "ray", "--workers", "2", step_seconds=0.2)
    wait(lambda: has_step(out, "naive/seed-0", 2))
    kill_worker_of(out, "naive/seed-0")
    result = finish(process)
    assert [cell["status"] for cell in result["cells"]] == ["done"] * 2
    for method in METHODS:
        assert events(out, f"{method}/seed-0") == events(local.parent / "out", f"{method}/seed-0")
        assert weights(out, method) == weights(local.parent / "out", method)
        assert weights(out, method)


@pytest.mark.slow
def test_ctrl_c_stops_cells_at_work_and_waiting_ones(tmp_path: Path) -> None:
    study = study_in(tmp_path / "ray")
    options = json.loads(study.read_text()) | {"seeds": list(range(1 + (os.cpu_count() or 1)))}
    study.write_text(json.dumps(options))
    out = study.parent / "out"
    # More cells at a time than the cluster has room for: some wait for a place.
    process = start(study, "--executor", "ray", "--workers", "1000", step_seconds=0.3)
    wait(lambda: has_step(out, "naive/seed-0", 1))
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert status(out, "naive/seed-0") == "interrupted"
    assert "none" in {status(out, f"{m}/seed-{s}") for m in METHODS for s in options["seeds"]}
