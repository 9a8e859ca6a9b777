"""The tables of the advice study: what is counted, and what rl-doctor is asked."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from crestfall.analysis.advice.causes import CAUSES
from crestfall.analysis.trajectory import Series, Trajectory
from crestfall.core.errors import InputError
from crestfall.testbed.config import load_study
from research.advice import FINE, MEANT, NONE, TRUTH, Row, as_trl, asked, matrix, summary


def trajectory() -> Trajectory:
    steps_S = np.arange(3)
    signals = {"kl_base": Series.of({1: 0.1, 2: 0.2}), "reward": Series.of({1: 0.5, 2: 0.6})}
    signals["rewarded"] = Series.of({1: 0.7, 2: 0.8})
    return Trajectory("x", Path("x"), "pass_at_1", "", steps_S, np.array([0.1, 0.2, 0.3]), signals=signals)


ROWS = [
    Row("healthy", 1, "healthy", "rise", FINE, "", NONE, ""),
    Row("healthy", 2, "healthy", "rise", FINE, "", "plateau", "plateau"),
    Row(
        "truncation",
        1,
        "truncation",
        "flat",
        "truncation",
        "truncation mismatch",
        "length_pathology",
        "length_pathology",
    ),
    Row("truncation", 2, "truncation", "flat", "mismatch", "mismatch truncation", "kl_drift", "kl_drift"),
    Row("mismatch", 1, "mismatch", "flat", NONE, "", NONE, ""),
    Row("mismatch", 2, "mismatch", "rise", FINE, "", "kl_drift", "kl_drift"),
]


def test_rows_are_what_was_put_in_and_columns_what_was_said() -> None:
    lines = matrix(ROWS, {r: r.named for r in ROWS}).splitlines()
    assert lines[0] == "| put in | chains | mismatch | truncation | none found | nothing fell |"
    assert "| truncation | 2 | 1 | **1** |  |  |" in lines
    assert "| mismatch | 2 |  |  | 1 | 1 |" in lines
    assert "| healthy | 2 |  |  |  | 2 |" in lines
    other = matrix(ROWS, {r: "grader" if r.named == NONE else r.named for r in ROWS}).splitlines()
    assert "| mismatch | 2 |  |  | 1 | 1 |" in other  # a cause that nobody put in has a column too
    assert "grader" in other[0]


def test_shares_are_of_chains_in_trouble_and_of_healthy_ones() -> None:
    lines = summary(ROWS, True).splitlines()[2:]
    assert [line.split("|")[2:4] for line in lines] == [
        [" 1 of 3 ", " 1 of 3 "],
        [" 2 of 3 ", " 1 of 3 "],
        [" 1 of 3 ", " 1 of 3 "],
        [" 0 of 2 ", " 1 of 2 "],
        [" 0 of 1 ", " 0 of 1 "],
    ]


def test_the_log_under_trl_keys_holds_what_the_trainer_was_given() -> None:
    rows = [json.loads(line) for line in as_trl(trajectory()).splitlines()]
    assert rows[0] == {"step": 0, "eval_score": 0.1}
    assert rows[2] == {"step": 2, "eval_score": 0.3, "kl": 0.2, "reward": 0.8}


def test_a_doctor_is_asked_and_one_that_fails_is_an_error(tmp_path) -> None:
    findings = [("plateau", "OK"), ("kl_drift", "WARNING"), ("advantage_collapse", "CRITICAL")]
    script = tmp_path / "doctor.py"
    answer = {"findings": [{"detector": d, "severity": s} for d, s in findings]}
    answer["findings"] += [{"detector": "kl_drift", "severity": "WARNING", "metrics": {"kl_max": 1e-5}}]
    script.write_text(f"import json\nprint(json.dumps({answer!r}))")
    assert asked(trajectory(), [sys.executable, str(script)]) == ["advantage_collapse", "kl_drift", "kl_pinned"]
    with pytest.raises(InputError):
        asked(trajectory(), [sys.executable, "-c", "raise SystemExit('no')"])


def test_every_method_of_the_study_has_a_known_fault_and_every_fault_is_in_the_table() -> None:
    study = load_study("research/studies/advice.yaml")
    assert set(study.methods) == set(TRUTH)
    assert min(study.seeds) >= 5100
    names = {c.name for c in CAUSES}
    assert {t for t in TRUTH.values() if t} <= names
    assert set(MEANT.values()) <= names | {NONE}
