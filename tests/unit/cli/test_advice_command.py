"""`crestfall analyze` ends with what to do: text, `--json` and page say the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from crestfall.cli.main import main


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A TRL run that rose to step 50, took one huge step and collapsed; checkpoints every 20 steps."""
    rng, steps = np.random.default_rng(0), np.arange(0, 101, 2)
    score = np.interp(steps, [0, 40, 60, 66, 100], [0.2, 0.7, 0.7, 0.1, 0.1]) + 0.01 * rng.standard_normal(len(steps))
    kl = np.interp(steps, [0, 60, 66, 100], [0, 0.02, 4, 6]) + 1e-4 * rng.random(len(steps))
    history = [
        {"step": int(s), "eval_pass@1": float(v), "kl": float(k)} for s, v, k in zip(steps, score, kl, strict=True)
    ]
    for step in (20, 40, 60, 80, 100):
        folder = tmp_path / "out" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"x")
    (tmp_path / "out" / "checkpoint-100" / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    return tmp_path / "out"


def test_text_json_and_page_name_the_checkpoint_and_the_cause(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = str(run / "checkpoint-100" / "trainer_state.json")
    assert main(["analyze", log]) == 0
    text = capsys.readouterr().out
    assert f"take     {run / 'checkpoint-'}" in text
    assert "cause    steps too large" in text
    assert "refuted by  " in text
    assert main(["analyze", log, "--json", "--report", str(tmp_path / "pages")]) == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert found["checkpoint"]["take"]["step"] in (40, 60)
    assert found["checkpoint"]["at_peak"] is True
    assert found["checkpoint"]["saved"] == 5
    assert found["advice"]["causes"][0]["cause"] == "steps_too_large"
    assert set(found["advice"]["causes"][0]) == {"cause", "title", "evidence", "source", "refuted_by", "change"}
    (page,) = (tmp_path / "pages").glob("*.html")
    assert "steps too large for the information in a batch" in page.read_text()
    assert f"checkpoint-{found['checkpoint']['take']['step']}" in page.read_text()


def test_the_table_of_many_runs_has_the_step_to_take_and_the_cause(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flat.jsonl").write_text("".join(json.dumps({"step": i, "eval_acc": 0.5}) + "\n" for i in range(30)))
    log = str(run / "checkpoint-100" / "trainer_state.json")
    assert main(["analyze", log, str(tmp_path / "flat.jsonl")]) == 0
    assert "steps too large" in capsys.readouterr().out
