from __future__ import annotations

from dataclasses import replace

import pytest

from crestfall.control.care.gate import Gate, Response, end_over_peak
from crestfall.control.care.memory import Forecast, Recollection
from crestfall.core.errors import ConfigError
from crestfall.core.types import CampaignSummary

DONE = CampaignSummary(0, 20, start=0.2, peak=0.5, peak_step=5, end=0.25, handed_on_step=20)


def ended_at(ratio: float, peak: float = 0.5) -> CampaignSummary:
    return replace(DONE, peak=peak, end=ratio * peak)


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(1.0, "reuse"), (0.5, "reuse"), (0.4999, "pilot"), (0.0, "pilot"), (1.2, "reuse")]
)
def test_the_deployed_test_at_its_edge(ratio: float, verdict: str) -> None:
    assert Gate().test(ended_at(ratio), 0.0)[0] == verdict


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (0.8, "reuse"),
        (0.7999, "adapt"),
        (0.5, "adapt"),
        (0.4999, "pilot"),
        (0.2, "pilot"),
        (0.1999, "reject"),
        (0.0, "reject"),
    ],
)
def test_the_four_way_form_at_its_edges(ratio: float, verdict: str) -> None:
    assert Gate(form="four_way").test(ended_at(ratio, peak=1.0), 0.0)[0] == verdict


def test_a_campaign_that_never_passed_anything_is_not_built_on() -> None:
    dead = replace(DONE, start=0.0, peak=0.0, end=0.0)
    assert end_over_peak(dead) == 0
    assert Gate().test(dead, 0.0)[0] == "pilot"
    assert Gate(form="four_way").test(dead, 0.0)[0] == "reject"


def test_revisions_raise_the_threshold_up_to_the_cap_and_never_lower_it() -> None:
    ratio = Gate()
    assert [ratio.raised_to(0.5, 0.1 * k) for k in range(7)] == [0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9]
    assert Gate(threshold=0.95).raised_to(0.95, 0.1) == 0.95
    assert Gate().test(ended_at(0.55), 0.0)[0] == "reuse"
    assert Gate().test(ended_at(0.55), 0.1)[0] == "pilot"


def test_it_says_why() -> None:
    assert Gate().test(ended_at(0.4), 0.1) == ("pilot", "end/peak 0.400 < 0.60", {"ratio": 0.4, "threshold": 0.6})


@pytest.mark.parametrize(
    ("verdict", "budget", "steps", "scale", "roll_back"),
    [
        ("reuse", 20, 20, 1.0, False),
        ("adapt", 20, 15, 1.0, False),
        ("pilot", 20, 10, 1.0, False),
        ("pilot", 3, 2, 1.0, False),
        ("pilot", 1, 1, 1.0, False),
        ("pilot", 0, 0, 1.0, False),
        ("reject", 20, 0, 1.0, True),
    ],
)
def test_the_response(verdict: str, budget: int, steps: int, scale: float, roll_back: bool) -> None:
    plan = Response().plan_of(verdict, budget, "because", {})  # type: ignore[arg-type]
    assert (plan.budget, plan.learning_rate_scale, plan.roll_back) == (steps, scale, roll_back)


def test_adapt_may_halve_the_learning_rate_instead() -> None:
    plan = Response(adapt_by="learning_rate").plan_of("adapt", 20, "", {})
    assert (plan.budget, plan.learning_rate_scale) == (20, 0.5)


def test_thresholds_out_of_order_are_refused() -> None:
    with pytest.raises(ConfigError, match="none below the one before"):
        Gate(pilot_from=0.6)


def foreseen(change: float, *, entries: int = 3, confidence: float = 0.8, **members: float) -> Forecast:
    mean = {"pass_at_1": change, "pass_at_16": 0.0, "diversity": 0.0, "hard_case_accuracy": 0.0} | members
    return Forecast(mean, dict.fromkeys(mean, 0.01), tuple(mean), confidence, entries)


@pytest.mark.parametrize(
    ("forecast", "verdict"),
    [
        (foreseen(0.3, entries=0), "pilot"),
        (foreseen(0.1), "reuse"),
        (foreseen(0.0), "reuse"),
        (foreseen(-0.01), "pilot"),
        (foreseen(0.1, diversity=-0.2), "adapt"),
        (foreseen(0.1, hard_case_accuracy=-0.2), "adapt"),
        (foreseen(0.1, diversity=-0.1), "reuse"),
        (foreseen(0.1, pass_at_16=-0.5), "reuse"),
        (foreseen(-0.3, confidence=0.4), "reject"),
        (foreseen(-0.3, confidence=0.39), "pilot"),
    ],
)
def test_a_forecast_is_judged(forecast: Forecast, verdict: str) -> None:
    assert Recollection().judge(forecast)[0] == verdict
