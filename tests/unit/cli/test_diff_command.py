"""`crestfall diff A B` on foreign logs and run directories."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from crestfall.cli.main import main


def write(path: Path, values: list[float], key: str = "eval/acc") -> str:
    rng = np.random.default_rng(len(path.name))
    rows = [{"step": i, key: v, "entropy": float(rng.normal(1, 0.1))} for i, v in enumerate(values)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def campaign(path: Path, rate: float, falls: bool) -> str:
    path.mkdir()
    (path / "run.json").write_text(json.dumps({"config": {"update": {"learning_rate": rate}}, "status": "done"}))
    events = []
    for step in range(12):
        passed = [12] * 10 if step < 6 or not falls else [3] * 10
        score = {"n": 16, "pass_at_1": passed[0] / 16, "passed": passed}
        events.append({"type": "step", "campaign": 0, "step": step, "select": score, "report": score, "signals": {}})
    (path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return str(path)


def test_foreign_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a.jsonl", [0.6] * 20)
    b = write(tmp_path / "bb.jsonl", [0.6] * 12 + [0.2] * 8)
    assert main(["diff", a, b, "--samples", "200", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (run,) = found["runs"]
    assert found["settings"] is None
    assert (run["a"]["class"], run["b"]["class"]) == ("flat", "collapse")
    assert run["differs"]["step"] == 12
    assert run["differs"]["difference"] == pytest.approx(-0.4)
    assert run["first"] == "score"
    assert main(["diff", a, b, "--samples", "200"]) == 0
    text = capsys.readouterr().out
    assert "differ   from step 12 on" in text
    assert "first    score" in text


def test_run_directories_show_their_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = campaign(tmp_path / "a", 1e-4, falls=False), campaign(tmp_path / "b", 8e-4, falls=True)
    assert main(["diff", a, b]) == 0
    text = capsys.readouterr().out
    assert "update.learning_rate: 0.0001 -> 0.0008" in text
    assert "differ   from step 6 on" in text
    assert main(["diff", a, a, "--json"]) == 0
    same = json.loads(capsys.readouterr().out)
    assert same["settings"] == {}
    assert same["runs"][0]["first"] is None


def test_few_points_of_unknown_noise_are_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write(tmp_path / "a.jsonl", [0.6] * 4), write(tmp_path / "b.jsonl", [0.1] * 4)
    assert main(["diff", a, b, "--metric", "eval/acc"]) == 0
    assert "not tested" in capsys.readouterr().out


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a.jsonl", [0.6] * 6)
    other = write(tmp_path / "b.jsonl", [0.6] * 6, key="eval/reward")
    for words in ([a, str(tmp_path / "nowhere")], [a, other], [a, a, "--metric", "nothing_like_it"]):
        assert main(["diff", *words, "--json"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("crestfall: ")
        assert err.count("\n") == 1
