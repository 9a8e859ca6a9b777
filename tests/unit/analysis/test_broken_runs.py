"""A run whose metric ends in NaN has not held, whatever its finite part did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crestfall.analysis.analyze import analyze
from crestfall.analysis.importers.load import load


def log(path: Path, values: list[float]) -> Path:
    path.write_text("".join(json.dumps({"step": i, "reward": v}) + "\n" for i, v in enumerate(values)))
    return path


RISE = [0.02 * i for i in range(25)]
NAN = float("nan")


@pytest.mark.parametrize("bad", [NAN, float("inf")])
def test_a_run_that_ends_in_nan_is_said_to(tmp_path: Path, bad: float) -> None:
    (trajectory,) = load([log(tmp_path / "a.jsonl", [*RISE, *[bad] * 15])])
    found = analyze(trajectory)
    assert trajectory.broken == (25, 15)
    assert found.headline.startswith("reward is no number from step 25 on")
    assert any("from step 25 on" in caution for caution in found.cautions)


def test_a_hole_in_the_middle_is_no_end(tmp_path: Path) -> None:
    (trajectory,) = load([log(tmp_path / "a.jsonl", [*RISE[:10], NAN, NAN, *RISE[12:]])])
    assert trajectory.broken is None
    assert not analyze(trajectory).headline.startswith("reward is no number")
