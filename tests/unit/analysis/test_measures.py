"""Measures on curves whose answers are plain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from crestfall.analysis.measures import measure_campaign, split_rise
from crestfall.analysis.onset import largest_fall, left_for_good
from crestfall.analysis.phase import phase_transition_score
from crestfall.analysis.trajectory import Trajectory, read_run
from crestfall.core.errors import InputError
from crestfall.core.types import Evaluation
from research.paper.chain import measure_chain


def curve(values: Sequence[float], **more: object) -> Trajectory:
    values_S = np.array(values, dtype=np.float64)
    return Trajectory("t", Path("t.csv"), "m", "w", np.arange(len(values)), values_S, **more)  # type: ignore[arg-type]


def test_cliff() -> None:
    m = measure_campaign(curve([0.2, 0.4, 0.8, 0.7, 0.1, 0.0]))
    assert (m.start, m.peak, m.peak_step, m.end, m.gap) == (0.2, 0.8, 2, 0.0, 0.8)
    assert m.collapsed
    assert (m.onset, m.onset_for_good) == (4, 4)
    assert m.phase_transition == pytest.approx(0.75)
    assert m.gap_error is None
    assert m.fall_is_clear is None


def test_a_gap_of_exactly_two_tenths_is_no_collapse() -> None:
    assert not measure_campaign(curve([0.25, 0.125])).collapsed
    assert measure_campaign(curve([0.25, 0.0])).collapsed
    assert not measure_campaign(curve([0.9, 0.7])).collapsed


def test_ties_go_to_the_earliest() -> None:
    assert measure_campaign(curve([0.1, 0.5, 0.5, 0.2])).peak_step == 1
    assert largest_fall(np.array([0.5, 0.25, 0.0]), 0) == 1


def test_onset_for_good_ignores_a_dip_that_recovers() -> None:
    values_S = np.array([0.8, 0.5, 0.8, 0.75, 0.6, 0.3])
    assert left_for_good(values_S, 0) == 4
    assert left_for_good(values_S[:4], 0) is None


def test_largest_fall_between_means_finds_the_same_cliff() -> None:
    values_S = np.array([0.8] * 6 + [0.1] * 6)
    assert [largest_fall(values_S, 0, k) for k in (1, 2, 3, 5)] == [6] * 4


def test_no_fall_no_score() -> None:
    assert phase_transition_score(np.array([0.1, 0.2, 0.3]), 2) is None
    assert largest_fall(np.array([0.1, 0.2, 0.3]), 2) is None


def test_the_peak_is_chosen_on_select_and_scored_on_report() -> None:
    select = tuple(Evaluation((c,), 16) for c in (4, 16, 8))
    report = tuple(Evaluation((c,), 16) for c in (4, 8, 12))
    m = measure_campaign(curve([0.25, 1.0, 0.5], select=select, report=report))
    assert (m.peak_step, m.peak, m.peak_as_selected) == (1, 0.5, 1.0)
    assert (m.gap, m.gap_as_selected) == (-0.25, 0.5)
    assert m.gap_error == pytest.approx(np.hypot(report[1].standard_error, report[2].standard_error))


def test_split_of_the_rise_adds_up() -> None:
    report = (Evaluation((4, 0), 16, competent_P=(8, 0)), Evaluation((16, 8), 16, competent_P=(16, 8)))
    split = split_rise(curve([0.125, 0.75], select=report, report=report))
    assert split is not None
    assert (split.rise, split.competence, split.convention) == (0.625, 0.5, 0.125)
    assert split_rise(curve([0.1, 0.2])) is None


def test_chain(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    up = [[4, 4], [8, 8], [16, 16]]
    down = [[8, 8], [12, 12], [4, 4]]
    m = measure_chain(read_run(make_run(tmp_path / "r", [(up, up), (down, down)])))
    assert (m.base, m.end_of_chain) == (0.25, 0.5)
    assert m.mean_start == 0.5
    assert (m.mean_peak, m.mean_end) == (0.875, 0.625)
    assert (m.collapses, m.collapse_rate) == (1, 0.5)
    assert m.steps == 4
    assert m.points_per_100_steps == pytest.approx(50 * 100 / 4)
    assert m.trace.picked == m.trace.scored == 0.875
    assert m.hindsight.picked == m.hindsight.scored == 1.0


def test_a_run_without_steps_is_one_clear_error(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    path = make_run(tmp_path / "r", [])
    with pytest.raises(InputError, match="no step"):
        measure_chain(read_run(path))
