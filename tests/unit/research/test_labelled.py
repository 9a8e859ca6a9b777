"""Agreement with people's judgements, on logs that are not part of the repository."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from research.labelled import Judged, balanced_accuracy, judge_all

BESIDE = Path(__file__).parents[4] / "shared" / "data" / "logs"


def test_labelled_logs() -> None:
    directory = Path(os.environ.get("CRESTFALL_LABELLED_LOGS", BESIDE))
    if not (directory / "index.json").is_file():
        pytest.skip(f"LABELLED LOGS NOT FOUND in {directory}: set CRESTFALL_LABELLED_LOGS; agreement is NOT checked")
    assert balanced_accuracy(judge_all(directory)) >= 0.85


def test_balanced_accuracy_weighs_classes_alike() -> None:
    curves = [Judged("a", "m", "rise", "rise")] * 9 + [Judged("b", "m", "flat", "rise")]
    assert balanced_accuracy(curves) == 0.5


def test_an_index_is_read_relative_to_its_directory(tmp_path: Path) -> None:
    rows = "".join(f"{s},{0.1 + 0.02 * s}\n" for s in range(20))
    (tmp_path / "x.csv").write_text("step,value\n" + rows)
    entry = {"name": "x", "file": "x.csv", "metric_key": "value", "judgement": "rise"}
    (tmp_path / "index.json").write_text(json.dumps([entry]))
    assert judge_all(tmp_path) == [Judged("x", "value", "rise", "rise")]
