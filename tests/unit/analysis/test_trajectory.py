"""Reading run directories: whole, torn, in progress, resumed, broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crestfall.analysis.trajectory import read_run, read_study
from crestfall.core.errors import InputError

Maker = Callable[..., Path]
SELECT = [[4, 8], [8, 8], [16, 16], [0, 4]]
REPORT = [[4, 4], [8, 8], [12, 12], [2, 2]]


def test_curves_counts_and_facts(tmp_path: Path, make_run: Maker) -> None:
    run = read_run(make_run(tmp_path / "r", [(SELECT, REPORT)], handed_on=[2]))
    (campaign,) = run.campaigns
    assert campaign.steps_S.tolist() == [0, 1, 2, 3]
    assert campaign.values_S.tolist() == [12 / 32, 0.5, 1.0, 4 / 32]
    assert campaign.scored_S is not None
    assert campaign.judged_S.tolist() == campaign.scored_S.tolist() == [0.25, 0.5, 0.75, 0.125]
    assert campaign.counts_SP is not None
    assert campaign.counts_SP.tolist() == REPORT
    assert campaign.n == 16
    assert campaign.signals["entropy"].steps_S.tolist() == [1, 2, 3]
    assert campaign.facts is not None
    assert campaign.facts.handed_on_step == 2
    assert campaign.facts.seconds == {"rollout": 2.0}
    start, end = run.final(-1, "start"), run.final(0, "handed_on")
    assert start is not None
    assert end is not None
    assert (start.evaluation.pass_at_1, end.evaluation.pass_at_1) == (0.25, 0.5)


def test_torn_last_line_is_left_out_and_noted(tmp_path: Path, make_run: Maker) -> None:
    path = make_run(tmp_path / "r", [(SELECT, REPORT)])
    lines = (path / "events.jsonl").read_text().splitlines()
    (path / "events.jsonl").write_text("\n".join(lines[:5]) + "\n" + lines[5][:-20])
    run = read_run(path)
    assert run.campaigns[0].steps_S.tolist() == [0, 1]
    assert "torn" in run.notes[0]


def test_broken_line_in_the_middle_names_file_and_line(tmp_path: Path, make_run: Maker) -> None:
    path = make_run(tmp_path / "r", [(SELECT, REPORT)])
    lines = (path / "events.jsonl").read_text().splitlines()
    lines[3] = lines[3][:-20]
    (path / "events.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"events\.jsonl:4: "):
        read_run(path)


def test_a_run_that_has_only_begun(tmp_path: Path, make_run: Maker) -> None:
    path = make_run(tmp_path / "r", [(SELECT, REPORT)])
    (path / "events.jsonl").unlink()
    assert read_run(path).campaigns == ()


def test_a_repeated_step_counts_once_and_the_later_one_holds(tmp_path: Path, make_run: Maker) -> None:
    path = make_run(tmp_path / "r", [(SELECT, REPORT)])
    again = {"type": "step", "campaign": 0, "step": 3, "select": {"n": 16, "passed": [16, 16]}}
    again["report"] = again["select"]
    with (path / "events.jsonl").open("a") as f:
        f.write(json.dumps(again) + "\n")
    (campaign,) = read_run(path).campaigns
    assert campaign.steps_S.tolist() == [0, 1, 2, 3]
    assert campaign.values_S[-1] == 1.0


def test_missing_field_is_an_input_error(tmp_path: Path, make_run: Maker) -> None:
    path = make_run(tmp_path / "r", [(SELECT, REPORT)])
    with (path / "events.jsonl").open("a") as f:
        f.write(json.dumps({"type": "step", "campaign": 0, "step": 9}) + "\n")
    with pytest.raises(InputError, match="select"):
        read_run(path)


def test_no_run_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run\.json"):
        read_run(tmp_path)


def test_study_groups_cells_by_method_in_order_of_seeds(tmp_path: Path, make_run: Maker) -> None:
    (tmp_path / "study.json").write_text("{}")
    for method, seed in (("naive", 1), ("naive", 0), ("es", 0)):
        make_run(tmp_path / "cells" / method / f"seed-{seed}", [(SELECT, REPORT)], seed=seed, method=method)
    study = read_study(tmp_path)
    assert {m: [r.seed for r in runs] for m, runs in study.by_method().items()} == {"naive": [0, 1], "es": [0]}
    assert np.isfinite(study.runs[0].campaigns[0].values_S).all()
