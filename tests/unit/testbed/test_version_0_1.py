"""Run directories of version 0.1 (specimens/version_0_1, made by it) are read, reported and continued."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crestfall.analysis.trajectory import read_run, read_study
from crestfall.cli.main import main
from crestfall.store.checkpoints import Checkpoints, flat
from crestfall.store.run_directory import read_meta
from crestfall.testbed.config import as_of_today, run_config, study_config
from crestfall.testbed.session import train
from crestfall.testbed.study import prepare

SPECIMENS = Path(__file__).parents[2] / "specimens" / "version_0_1"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    shutil.copytree(SPECIMENS, tmp_path / "old", symlinks=True)
    return tmp_path / "old"


def test_an_interrupted_run_goes_on_to_the_same_end(old: Path) -> None:
    """It was stopped right after a rollback, whose weights version 0.1 saved a second time."""
    meta = read_meta(old / "interrupted")
    assert meta is not None
    assert train(run_config(meta["config"]), old / "interrupted", {})
    assert timeless(old / "interrupted") == timeless(old / "whole")
    name = "campaign-001-handed-on"
    ours, theirs = (Checkpoints(p).load(name) for p in (old / "interrupted/checkpoints", old / "whole"))
    assert {key: np.asarray(value).tolist() for key, value in flat(ours)} == {
        key: np.asarray(value).tolist() for key, value in flat(theirs)
    }
    state = json.loads((old / "interrupted/checkpoints/state.json").read_text())
    assert all(state["snapshots"].values())


def test_a_run_with_care_goes_on_though_its_options_are_in_parts_now(old: Path) -> None:
    """It was stopped at the second campaign's plan."""
    meta = read_meta(old / "care")
    assert meta is not None
    options = dict(as_of_today(meta["config"]))
    assert options["care"]["gate"]["form"] == "four_way"
    assert train(run_config(options), old / "care", {})
    assert timeless(old / "care") == timeless(old / "care_whole")


def test_a_study_is_read_reported_and_completed(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = old / "study"
    assert {m: len(r) for m, r in read_study(path).by_method().items()} == {"crest": 1, "naive": 2}
    assert main(["report", str(path), "--json"]) == 0
    assert main(["status", str(path), "--json"]) == 0
    assert main(["analyze", str(path), "--json"]) == 0
    capsys.readouterr()
    config = json.loads((path / "study.json").read_text())["config"]
    cells = prepare(study_config({**config["base"], "seeds": config["seeds"], "methods": config["methods"]}), path)
    missing = [cell for cell in cells if not cell.done()]
    assert [cell.name for cell in missing] == ["crest/seed-1"]
    assert train(missing[0].config, missing[0].path, {})
    assert read_run(missing[0].path).status == "done"


def timeless(path: Path) -> list[Any]:
    lines = (path / "events.jsonl").read_text().splitlines()
    own = ("time", "seconds", "version", "config_digest")
    events = [{k: v for k, v in json.loads(line).items() if k not in own} for line in lines]
    for event in events:
        event.get("decision", {}).pop("reason", None)  # words, which have become others
    return events
