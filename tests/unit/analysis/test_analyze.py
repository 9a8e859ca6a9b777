"""The whole analysis of a curve: the JSON contract, intervals, onset and leads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from crestfall.analysis.analyze import analyze
from crestfall.analysis.levels import levels
from crestfall.analysis.noise import noise_of
from crestfall.analysis.trajectory import Series, Trajectory
from crestfall.core.errors import InputError


def curve(values_S: np.ndarray, **more: object) -> Trajectory:
    return Trajectory("t", Path("t.csv"), "m", "w", np.arange(len(values_S)) * 10, values_S, **more)  # type: ignore[arg-type]


RISEN_AND_FALLEN = np.concatenate([np.linspace(0.2, 0.7, 20), np.full(20, 0.7), np.full(20, 0.1)])


def test_contract_fields_and_no_nan() -> None:
    noisy = RISEN_AND_FALLEN + 0.02 * np.random.default_rng(0).standard_normal(60)
    entropy = np.where(np.arange(60) < 30, 1.0, 0.2) + 0.02 * np.random.default_rng(1).standard_normal(60)
    out = analyze(curve(noisy, signals={"entropy": Series(np.arange(60) * 10, entropy)})).to_json()
    assert json.loads(json.dumps(out, allow_nan=False)) == out
    contract = {"path", "metric", "class", "start", "peak", "peak_step", "end", "gap", "p_value", "onset", "leads"}
    assert contract <= out.keys()
    assert (out["class"], out["onset"], out["leads"]) == ("rise_and_collapse", 400, {"entropy": 100})
    assert out["p_value"] < 0.01
    assert out["intervals"]["fall"][0] > 0.5


def test_nothing_is_said_of_a_fall_that_did_not_happen() -> None:
    a = analyze(curve(0.5 + 0.05 * np.random.default_rng(0).standard_normal(40)))
    assert (a.classification.label, a.onset, a.phase_transition, a.leads) == ("flat", None, None, ())


def test_raw_and_noise_aware_fall_differ_by_the_luck_of_the_peak() -> None:
    a = analyze(curve(0.5 + 0.05 * np.random.default_rng(2).standard_normal(200)))
    assert a.measures.gap > 0.05
    assert a.levels.fall.low < 0.02


def test_intervals_cover() -> None:
    truth = 0.6
    rng = np.random.default_rng(3)
    curves = RISEN_AND_FALLEN + 0.03 * rng.standard_normal((60, 60))
    falls = [levels(values_S, noise_of(values_S), 3).fall for values_S in curves]
    assert np.mean([f.low <= truth <= f.high for f in falls]) > 0.85
    assert np.mean([f.value for f in falls]) == pytest.approx(truth, abs=0.01)


def test_one_point_and_none() -> None:
    a = analyze(curve(np.array([0.5])))
    assert (a.classification.label, a.measures.gap) == ("flat", 0.0)
    with pytest.raises(InputError, match="no value"):
        analyze(curve(np.array([])))


def test_the_same_curve_gives_the_same_answer() -> None:
    noisy = RISEN_AND_FALLEN + 0.1 * np.random.default_rng(0).standard_normal(60)
    assert analyze(curve(noisy)).to_json() == analyze(curve(noisy)).to_json()
