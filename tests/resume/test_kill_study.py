"""Studies in real processes: crashes, Ctrl-C, and a study that is killed while its cells are at work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import fakes
from crestfall.store.layout import cell_path
from crestfall.testbed.config import load_study
from crestfall.testbed.session import train

METHODS = {"naive": {}, "es": {"control": {"name": "early_stop"}}}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study's file beside the directory `out` that it will run in."""
    file = tmp_path / "study.json"
    file.write_text(json.dumps(fakes.options(seeds=[0], methods=METHODS)))
    return file


def start(file: Path, *words: str, step_seconds: float = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "crestfall.cli.main", "study", str(file), "--out", str(file.parent / "out")]
    environment = os.environ | {fakes.STEP_SECONDS: str(step_seconds)}
    return subprocess.Popen(
        [*command, "--json", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    said, errors = process.communicate(timeout=120)
    assert process.returncode in (0, 1), errors
    result: dict[str, Any] = json.loads(said)
    return result


def status(out: Path, cell: str) -> str:
    meta = out / "cells" / cell / "run.json"
    return json.loads(meta.read_text())["status"] if meta.exists() else "none"


def wait(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.05)


def has_step(out: Path, cell: str, step: int) -> bool:
    log = out / "cells" / cell / "events.jsonl"
    return log.exists() and f'"step": {step},' in log.read_text()


def events(out: Path, cell: str) -> list[dict[str, Any]]:
    lines = (out / "cells" / cell / "events.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in ("time", "seconds")} for line in lines]


def test_a_crashed_cell_takes_no_other_along_and_runs_again(study: Path) -> None:
    options = json.loads(study.read_text())
    options["methods"]["bad"] = {"engine": {"kill_at": 2}}
    options["methods"]["worse"] = {"engine": {"fail_at": 2}}
    study.write_text(json.dumps(options))
    result = finish(start(study, "--workers", "2"))
    by_method = {cell["method"]: cell for cell in result["cells"]}
    assert {name: cell["status"] for name, cell in by_method.items()} == {
        "naive": "done",
        "es": "done",
        "bad": "failed",
        "worse": "failed",
    }
    assert "killed by signal 9" in by_method["bad"]["error"]
    assert "RuntimeError: the fake engine was told to fail" in by_method["worse"]["error"]
    assert "told to fail" in (study.parent / "out" / "cells" / "worse" / "seed-0.log").read_text()
    assert result["failed"] == 2
    assert len(by_method["naive"]["campaigns"]) == 2
    assert by_method["es"]["end_of_chain"] > by_method["naive"]["end_of_chain"]

    del options["methods"]["bad"], options["methods"]["worse"]
    options["methods"]["new"] = {}
    study.write_text(json.dumps(options))
    again = finish(start(study))
    assert [cell["status"] for cell in again["cells"]] == ["done"] * 3
    assert again["failed"] == 0


def test_ctrl_c_stops_the_cells_after_their_step_and_the_study_goes_on(study: Path, tmp_path: Path) -> None:
    out = study.parent / "out"
    process = start(study, "--workers", "2", step_seconds=0.3)
    wait(lambda: has_step(out, "naive/seed-0", 1) and has_step(out, "es/seed-0", 1))
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command continues from here" in errors
    assert [status(out, f"{m}/seed-0") for m in METHODS] == ["interrupted"] * 2
    result = finish(start(study))
    assert [cell["status"] for cell in result["cells"]] == ["done"] * 2


def test_a_killed_study_leaves_no_cell_running_and_goes_on_at_once(study: Path) -> None:
    out = study.parent / "out"
    process = start(study, "--workers", "2", step_seconds=0.3)
    wait(lambda: has_step(out, "naive/seed-0", 1) and has_step(out, "es/seed-0", 1))
    process.kill()
    process.communicate()
    # The orphans may still be finishing their step. Would they not end, their cells could not be opened.
    result = finish(start(study))
    assert [cell["status"] for cell in result["cells"]] == ["done"] * 2
    for cell in load_study(str(study)).cells():
        train(cell, cell_path(study.parent / "whole", cell.method, 0), {})
        assert events(out, f"{cell.method}/seed-0") == events(study.parent / "whole", f"{cell.method}/seed-0")


def test_two_studies_in_one_directory(study: Path) -> None:
    out = study.parent / "out"
    process = start(study, step_seconds=0.5)
    wait(lambda: has_step(out, "naive/seed-0", 0))
    second = start(study)
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 2
    assert f"in use by another crestfall (process {process.pid})" in errors
    assert "Traceback" not in errors
    process.kill()
    process.communicate()
