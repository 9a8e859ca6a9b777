"""The whole analysis of a curve: the JSON contract, intervals, onset and leads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from crestfall.analysis.analyze import analyze
from crestfall.analysis.levels import levels
from crestfall.analysis.noise import noise_of
from crestfall.analysis.trajectory import Curve, Series, Trajectory
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
    assert out["p_value"] < 0.05
    assert out["intervals"]["fall"][0] > 0.5


def test_nothing_is_said_of_a_fall_that_did_not_happen() -> None:
    a = analyze(curve(0.5 + 0.05 * np.random.default_rng(0).standard_normal(40)))
    assert (a.classification.label, a.onset, a.course, a.leads) == ("flat", None, None, ())


def test_a_straight_fall_has_no_cliff_and_a_drop_has_one() -> None:
    rng = np.random.default_rng(5)
    straight = np.interp(np.arange(90), [0, 30, 89], [0.2, 0.8, 0.1])
    cliffs = [analyze(curve(straight + 0.03 * rng.standard_normal(90))).has_cliff for _ in range(10)]
    assert sum(cliffs) <= 1
    a = analyze(curve(RISEN_AND_FALLEN + 0.03 * rng.standard_normal(60)))
    assert a.has_cliff
    assert a.onset == 400


def test_a_ceiling_is_where_it_is_reached() -> None:
    ceiling = np.interp(np.arange(100), [0, 30, 99], [0.2, 0.8, 0.8]) + 0.03 * np.random.default_rng(6).standard_normal(
        100
    )
    a = analyze(curve(ceiling))
    assert 230 <= a.peak_step <= 450
    assert a.peak_steps[1] >= 900
    assert a.levels.peak.value == pytest.approx(0.8, abs=0.02)


def test_start_up_transients_are_no_leads() -> None:
    rng = np.random.default_rng(7)
    t = np.arange(60)
    false = 0
    for _ in range(12):
        signals = {
            name: Series(t * 10, values + 0.02 * rng.standard_normal(60))
            for name, values in {"entropy": np.exp(-t / 5), "grad_norm": np.minimum(t / 8, 1.0)}.items()
        }
        a = analyze(curve(RISEN_AND_FALLEN + 0.03 * rng.standard_normal(60), signals=signals))
        false += any(lead.steps > 0 for lead in a.leads)
    assert false <= 1


def test_what_breaks_after_the_fall_began_is_not_before_it() -> None:
    rng = np.random.default_rng(8)
    straight = np.interp(np.arange(90), [0, 30, 89], [0.2, 0.8, 0.1]) + 0.02 * rng.standard_normal(90)
    late = np.where(np.arange(90) < 60, 1.0, 2.0) + 0.05 * rng.standard_normal(90)
    a = analyze(curve(straight, signals={"length": Series(np.arange(90) * 10, late)}))
    assert [lead.steps < 0 for lead in a.leads] == [True]


def test_all_evaluations_make_the_headline_and_the_commonest_class_is_shown() -> None:
    rng = np.random.default_rng(9)
    fallen = Series(np.arange(60) * 10, RISEN_AND_FALLEN + 0.02 * rng.standard_normal(60))
    others = {key: Curve(fallen, None, "evaluation") for key in ("eval/b", "eval/c")}
    a = analyze(curve(0.5 + 0.02 * rng.standard_normal(60), others=others))
    assert (a.trajectory.metric, a.classification.label) == ("eval/b", "rise_and_collapse")
    assert a.headline.startswith("2 of 3 evaluations collapse")
    assert {o["metric"]: o["class"] for o in a.to_json()["evaluations"]} == {"m": "flat", "eval/c": "rise_and_collapse"}


def test_parts_of_a_reward_that_disagree() -> None:
    rng = np.random.default_rng(10)
    up, down = np.linspace(0, 1, 60), np.linspace(0.8, 0.1, 60)
    parts = {
        "rewards/format": Curve(Series(np.arange(60), up), None, "part"),
        "rewards/accuracy": Curve(Series(np.arange(60), down + 0.02 * rng.standard_normal(60)), None, "part"),
    }
    a = analyze(curve(up + 0.02 * rng.standard_normal(60), others=parts, role="reward"))
    assert a.headline == "m rises and holds; rewards/format rises while rewards/accuracy falls: reward hacking"


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
    assert (a.classification.label, a.measures.gap) == ("too_few_points", 0.0)
    with pytest.raises(InputError, match="no value"):
        analyze(curve(np.array([])))


def test_the_same_curve_gives_the_same_answer() -> None:
    noisy = RISEN_AND_FALLEN + 0.1 * np.random.default_rng(0).standard_normal(60)
    assert analyze(curve(noisy)).to_json() == analyze(curve(noisy)).to_json()
