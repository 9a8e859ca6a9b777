"""The verbs that train and watch, as somebody types them (in this process, with the fake engine)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape

import fakes
from crestfall.cli.list import known
from crestfall.cli.main import main
from crestfall.core.registry import kinds
from crestfall.grading import CodeGrader, Limits
from crestfall.testbed.cost import Footprint


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(json.dumps(fakes.options(control={"name": "early_stop"})))
    return "small.yaml"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    methods = {"naive": {}, "es": {"control": {"name": "early_stop"}}}
    (tmp_path / "both.yaml").write_text(json.dumps(fakes.options(seeds=[0], methods=methods)))
    return "both.yaml"


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main([*words, "--json"]) == 0
    out: dict[str, Any] = json.loads(capsys.readouterr().out)
    return out


def test_a_run_ends_with_numbers_report_and_next_command(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", config]) == 0
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert any(line.startswith("campaign 1/2 step 1/6  pass@1 ") for line in lines)
    assert "final set: pass@1" in lines[-3]
    assert lines[-2] == "report   runs/small/report.html"
    assert lines[-1] == "next     crestfall analyze runs/small"
    assert Path("runs/small/report.html").exists()


def test_the_sandbox_in_force_stands_in_the_run_and_in_its_report(config: str) -> None:
    main(["run", config])
    with CodeGrader(Limits(workers=1)) as grader:
        layers = grader.layers
    assert "rlimits" in layers
    run = json.loads(Path("runs/small/run.json").read_text())
    assert run["provenance"]["sandbox"] == layers
    page = Path("runs/small/report.html").read_text()
    for name, setting in layers.items():
        assert f"<dt>sandbox {name}</dt><dd>{escape(setting)}</dd>" in page


def test_a_finished_run_says_so_and_prints_the_numbers(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", config, "--json"])
    capsys.readouterr()
    assert main(["run", config]) == 0
    said = capsys.readouterr().out
    assert "runs/small: finished before, nothing left to run" in said
    assert "final set: pass@1" in said


def test_json_is_one_object_with_the_contract_s_fields(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_json(capsys, "run", config, "--out", "here", "seed=3")
    assert result.keys() >= {"out", "report", "seconds", "cells"}
    (cell,) = result["cells"]
    assert (cell["method"], cell["seed"], cell["status"]) == ("run", 3, "done")
    assert 0 <= cell["end_of_chain"] <= 1
    assert len(cell["campaigns"]) == 2
    for campaign in cell["campaigns"]:
        assert campaign["gap"] == campaign["peak"] - campaign["end"]
        assert campaign.keys() == {"start", "peak", "peak_step", "end", "gap"}
    assert run_json(capsys, "run", config, "--out", "here", "seed=3")["cells"] == [cell]


def test_a_cell_that_was_run_by_itself_is_done_for_the_study(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    cell = "out/cells/es/seed-0"
    alone = run_json(capsys, "run", study, "method=es", "seed=0", "--out", cell)["cells"][0]
    assert main(["study", study, "--out", "out"]) == 0
    assert "out: 1 of 2 cells were finished before" in capsys.readouterr().out
    assert run_json(capsys, "study", study, "--out", "out")["cells"][1] == alone


def test_dry_run_writes_nothing(study: str, config: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    result = run_json(capsys, "study", study, "--dry-run")
    assert result["dry_run"]["cells"] == ["naive/seed-0", "es/seed-0"]
    assert result["dry_run"]["steps"] == 24
    main(["run", config, "--dry-run"])
    assert "1 cell: run" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_gives_no_size_that_it_does_not_know(
    config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crestfall.cli.dry_run.footprint", lambda config: Footprint(unknown="no such model"))
    main(["run", config, "--dry-run"])
    said = capsys.readouterr().out
    assert "memory and checkpoints: not known (no such model)" in said
    assert "checkpoints at most" not in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["run", "small.yaml", "campaign.stesp=3"],
            "small.yaml: campaign.stesp: no such option; did you mean 'steps'?",
        ),
        (["run", "smal.yaml"], "smal.yaml: no such file"),
        (["run", "small.yaml", "--out", "small.yaml"], "small.yaml: cannot be written: File exists"),
        (["study", "small.yaml"], "small.yaml: describes a single run (no methods, no seeds): use crestfall run"),
        (["run", "small.yaml", "steps"], "'steps': expected an override of the form key.key=value"),
        (["status", "nowhere"], "nowhere: neither a run directory"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    config: str, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("crestfall: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    "words",
    [["run"], ["run", "small.yaml", "--what"], ["run", "small.yaml", "--out", "x", "y"], ["status", "d", "a=1"]],
)
def test_usage_errors(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "usage:" in capsys.readouterr().err


def test_overrides_may_follow_options(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_json(capsys, "run", config, "seed=1", "--out", "d", "method=mine")
    assert (result["cells"][0]["seed"], result["cells"][0]["method"]) == (1, "mine")


def test_status_of_a_run_and_of_a_study(config: str, study: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", config, "--json"])
    capsys.readouterr()
    assert run_json(capsys, "status", "runs/small")["cells"][0]["status"] == "done"
    from crestfall.testbed.config import load_study
    from crestfall.testbed.study import prepare

    prepare(load_study(study), Path("s"))
    main(["status", "s"])
    said = capsys.readouterr().out
    assert "waiting" in said
    assert "0 of 2 cells done" in said


def test_a_run_that_was_killed_is_not_called_running(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", config, "--json"])
    capsys.readouterr()
    meta = json.loads(Path("runs/small/run.json").read_text())
    Path("runs/small/run.json").write_text(json.dumps(meta | {"status": "running"}))
    assert run_json(capsys, "status", "runs/small")["cells"][0]["status"] == "interrupted"
    assert run_json(capsys, "status", "runs/small", "--watch")["cells"][0]["status"] == "interrupted"


def test_watching_goes_on_while_somebody_is_at_work(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where no cell of a study runs at the moment."""
    from crestfall.testbed.config import load_study
    from crestfall.testbed.study import prepare

    prepare(load_study(study), Path("s"))
    holder = """
import pathlib, sys
from crestfall.store.lock import Lock
lock = Lock(pathlib.Path("s"))
lock.acquire()
print(flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        timer = threading.Timer(1.5, process.communicate)
        timer.start()
        assert main(["status", "s", "--watch", "--json"]) == 0
        assert process.poll() == 0
        timer.join()


def test_list_names_components_with_types_defaults_and_docs(capsys: pytest.CaptureFixture[str]) -> None:
    listing = run_json(capsys, "list", "control")
    early_stop = next(entry for entry in listing["control"] if entry["name"] == "early_stop")
    margin = early_stop["fields"][0]
    assert (margin["name"], margin["type"], margin["default"], margin["required"]) == ("margin", "int >= 1", 3, False)
    assert margin["doc"]
    assert main(["list", "config"]) == 0
    assert "problems_per_step" in capsys.readouterr().out


def test_list_is_an_overview_that_leads_to_one_component(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    overview = capsys.readouterr().out
    for kind in [*kinds(), "config"]:
        for name in known(kind):
            assert re.search(rf"^  {re.escape(name)} +\S", overview, re.MULTILINE), (kind, name)
    assert "margin" not in overview

    assert main(["list", "control", "early_stop"]) == 0
    one = capsys.readouterr().out
    assert "margin: int >= 1 = 3" in one
    assert "significant_fall" not in one
    assert not [line for line in (overview + one).splitlines() if line != line.rstrip()]

    assert main(["list", "control", "early_stopp"]) == 2
    assert "expected one of alert, crest" in capsys.readouterr().err


def test_every_option_of_every_component_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    listing = run_json(capsys, "list")
    silent = [
        f"{kind} {entry['name']}.{field['name']}"
        for kind, entries in listing.items()
        for entry in entries
        for field in entry["fields"]
        if not field["doc"] and (entry["name"], field["name"]) not in SECTIONS and entry["name"] != "fake"
    ]
    assert not silent
    assert all(entry["doc"] for entries in listing.values() for entry in entries)


# Fields of RunConfig that are sections: their classes say what they are.
SECTIONS = {("run", name) for name in ("campaign", "chain", "grader")}
