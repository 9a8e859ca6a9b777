"""Classes on plain curves, p-values on plateaus, noise of known size."""

from __future__ import annotations

import numpy as np
import pytest

from crestfall.analysis.classify import classify, counts, scale_of
from crestfall.analysis.levels import moving_average, smoothing_width
from crestfall.analysis.noise import ar1, bin_means, correlation, noise_of, robust_sigma, unimodal_fit
from crestfall.analysis.scan import fall_of, fall_statistic
from crestfall.core.rng import stream
from research.simulate import LABELS, confusion, simulate, simulate_counts

UP, HIGH, LOW = np.linspace(0.2, 0.7, 20), np.full(20, 0.7), np.full(20, 0.1)
SHAPES = {
    "rise_and_collapse": np.concatenate([UP, HIGH, LOW]),
    "collapse": np.concatenate([HIGH, HIGH, LOW]),
    "rise": np.concatenate([UP, HIGH, HIGH]),
    "flat": np.concatenate([HIGH, HIGH, HIGH]),
    "decline": np.linspace(0.7, 0.55, 60),
}


@pytest.mark.parametrize("label", SHAPES)
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_plain_shapes(label: str, noise: float) -> None:
    values_S = SHAPES[label] + noise * np.random.default_rng(1).standard_normal(60)
    assert classify(values_S).label == label


def test_a_single_low_value_at_the_end_is_no_collapse_without_counts_and_is_with() -> None:
    values_S = np.append(np.full(12, 0.6) + 0.04 * np.random.default_rng(2).standard_normal(12), 0.53)
    assert classify(values_S).label == "flat"
    assert classify(values_S, np.full(13, 0.005)).label != "flat"


def test_a_ripple_after_a_rise_is_still_a_rise() -> None:
    assert counts(0.1, 0.5, 0.001, 1.0) is False
    assert counts(0.2, 0.5, 0.001, 1.0) is True
    assert counts(0.21, 0.9, 0.001, 1.0) is True
    assert counts(0.01, 0.0, 0.001, 1.0) is False
    assert counts(0.5, 0.0, 0.2, 1.0) is False


RECOVERIES = {
    "crash_and_recovery": (0.8, 0.8, 0.1, 0.1, 0.8, 0.8),
    "rise_and_collapse": (0.2, 0.8, 0.1, 0.1, 0.5, 0.5),
    "collapse": (0.8, 0.8, 0.1, 0.1, 0.45, 0.45),
}


@pytest.mark.parametrize("label", RECOVERIES)
@pytest.mark.parametrize("seed", range(4))
def test_a_run_that_ends_low_has_collapsed_and_one_that_comes_back_has_not(label: str, seed: int) -> None:
    level_S = np.interp(np.linspace(0, 1, 100), [0, 0.35, 0.5, 0.65, 0.8, 1], RECOVERIES[label])
    assert classify(level_S + 0.05 * np.random.default_rng(seed).standard_normal(100)).label == label


def test_two_crashes_that_end_low() -> None:
    level_S = np.interp(np.linspace(0, 1, 120), np.linspace(0, 1, 7), [0.3, 0.8, 0.1, 0.1, 0.8, 0.1, 0.1])
    assert classify(level_S + 0.05 * np.random.default_rng(1).standard_normal(120)).label == "rise_and_collapse"


@pytest.mark.parametrize(("p", "batch"), [(0.02, 8), (0.005, 16), (0.05, 8)])
def test_a_reward_that_is_mostly_0_is_flat(p: float, batch: int) -> None:
    rng = stream("sparse", str(p), batch)
    labels = [classify(rng.binomial(batch, p, 100) / batch).label for _ in range(20)]
    assert labels.count("flat") >= 18


def test_a_cliff_without_noise_keeps_its_levels() -> None:
    c = classify(np.repeat([0.9, 0.05], [27, 13]))
    assert c.label == "collapse"
    assert (c.levels.peak.value, c.levels.end.value) == (pytest.approx(0.9), pytest.approx(0.05))


def test_few_points_that_fall_far() -> None:
    fallen = np.array([0.7, 0.78, 0.75, 0.02, 0.01])
    assert classify(fallen).label in ("collapse", "too_few_points")
    assert classify(fallen, np.sqrt(fallen * (1 - fallen) / 200)).label == "collapse"
    assert classify(np.array([0.4, 0.9, 0.1])).label == "too_few_points"


@pytest.mark.parametrize("seed", range(12))
def test_interval_and_p_value_agree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values_S = np.interp(np.arange(60), [0, 30, 59], [0.4, 0.5, 0.5 - 0.03 * seed]) + 0.05 * rng.standard_normal(60)
    c = classify(values_S)
    assert (c.p_fall < 0.05) == (c.levels.fall.low > 0)
    assert (c.p_rise < 0.05) == (c.levels.rise.low > 0)
    assert c.levels.fall.low <= c.levels.fall.value <= c.levels.fall.high


def test_too_short_to_say() -> None:
    for values in ([0.5], [0.9, 0.1], [0.1, 0.9, 0.1]):
        c = classify(np.array(values))
        assert (c.label, c.p_fall) == ("too_few_points", 1.0)


def test_scale_and_smoothing() -> None:
    assert scale_of(np.array([0.0, 1.0])) == 1.0
    assert scale_of(np.array([-3.0, 1.0])) == 3.0
    assert [smoothing_width(n) for n in (4, 10, 40, 100)] == [1, 3, 3, 5]
    assert moving_average(np.array([0.0, 3.0, 6.0]), 3).tolist() == [1.5, 3.0, 4.5]


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_false_alarms_on_plateaus(rho: float) -> None:
    plateaus_BS = ar1(stream("plateaus", str(rho)), 150, 60, rho)
    alarms = [fall_of(v, noise_of(v)).p_value < 0.05 for v in plateaus_BS]
    assert np.mean(alarms) < 0.06


def test_p_value_with_known_noise_allows_for_three_questions() -> None:
    errors_S = np.linspace(0.01, 0.03, 20)
    values_BS = errors_S * np.random.default_rng(5).standard_normal((200, 20)) + 0.5
    p = [fall_of(v, noise_of(v, errors_S)).p_value for v in values_BS]
    assert np.mean(np.array(p) < 0.05) < 0.05
    assert np.mean(np.array(p) < 1.0) == pytest.approx(1 / 3, abs=0.1)


def test_fall_statistic_by_hand() -> None:
    assert fall_statistic(np.array([[1.0, 0.0]]), np.array([0.5]))[0] == pytest.approx(1 / (0.5 * 2**0.5))
    assert fall_statistic(np.array([[0.0, 1.0]]), np.array([0.5]))[0] == 0.0


def test_noise_is_measured_through_trends_cliffs_and_spikes() -> None:
    rng = np.random.default_rng(0)
    level_S = np.concatenate([np.linspace(0, 5, 200), np.full(200, -3.0)])
    level_S[50] += 10
    assert robust_sigma((level_S + rng.normal(0, 0.3, 400))[None])[0] == pytest.approx(0.3, rel=0.12)


def test_correlation_is_recovered() -> None:
    for rho in (0.3, 0.5, 0.8):
        found = [correlation(v) for v in ar1(stream("rho", str(rho)), 40, 100, rho)]
        assert np.mean(found) == pytest.approx(rho, abs=0.1)
    assert correlation(ar1(stream("rho", "0"), 1, 100, 0.0)[0]) == pytest.approx(0.25)


def test_a_crash_with_a_recovery_does_not_look_like_correlated_noise() -> None:
    x_S = np.linspace(0, 1, 100)
    level_S = np.interp(x_S, [0, 0.3, 0.5, 0.55, 0.8, 0.9], [0.2, 0.8, 0.8, 0.1, 0.1, 0.5])
    assert correlation(level_S + 0.06 * np.random.default_rng(0).standard_normal(100)) < 0.35


def test_unimodal_fit_is_the_best_of_all_splits() -> None:
    from scipy.optimize import isotonic_regression

    values_S = np.random.default_rng(3).random(12)
    best = min(
        float(
            np.sum((values_S[:k] - isotonic_regression(values_S[:k]).x) ** 2)
            + (np.sum((values_S[k:] - isotonic_regression(values_S[k:], increasing=False).x) ** 2) if k < 12 else 0)
        )
        for k in range(1, 13)
    )
    assert np.sum((values_S - unimodal_fit(values_S)) ** 2) == pytest.approx(best)


def test_bins_keep_the_mean() -> None:
    values_S = np.arange(1003.0)
    binned = bin_means(values_S, 100)
    assert len(binned) == 100
    assert binned[0] == pytest.approx(values_S[:10].mean())
    assert (np.diff(binned) > 0).all()


def test_simulated_curves_of_every_class() -> None:
    rng = stream("confusion")
    curves = [simulate(label, 50, rng, 0.02, 0.3) for label in LABELS for _ in range(6)]
    curves += [simulate_counts(label, 20, rng, 480) for label in LABELS for _ in range(6)]
    result = confusion(curves, replicates=199)
    assert result.counts_KK.sum() == 72
    assert result.balanced_accuracy >= 0.85
    assert "balanced accuracy" in str(result)


@pytest.mark.parametrize("share", [0.0, 1.0, 0.002])
def test_a_level_of_shares_is_a_share(share: float) -> None:
    of = classify(np.full(4, share), np.full(4, 0.003)).levels
    for level in (of.start, of.peak, of.end):
        assert 0 <= level.low <= level.value <= level.high <= 1


def test_a_level_below_zero_of_a_score_that_can_be_stays() -> None:
    assert classify(np.array([-0.5, -0.2, -0.4, -0.9]), np.full(4, 0.01)).levels.end.value < -0.8


def test_a_curve_of_zeros_neither_rises_nor_falls() -> None:
    for errors_S in (None, np.full(60, 0.004)):
        of = classify(np.zeros(60), errors_S).levels
        assert [e.value for e in (of.start, of.peak, of.end, of.rise, of.fall)] == [0.0] * 5
