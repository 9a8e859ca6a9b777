"""The posterior against its closed form, against scipy, and against ordinary least squares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from crestfall.control.care.posterior import Posterior

RNG = np.random.default_rng(7)
X = RNG.normal(size=(12, 5))
Y = X @ np.array([0.1, -0.2, 0.05, 0.0, 0.3]) + RNG.normal(scale=0.05, size=12)
TAU, SIGMA = 0.1, 0.05


def fold(xs: np.ndarray, ys: np.ndarray, tau: float = TAU, sigma: float = SIGMA) -> Posterior:
    posterior = Posterior.prior(xs.shape[1], tau)
    for x, y in zip(xs, ys, strict=True):
        posterior = posterior.after(x, y, sigma)
    return posterior


def test_one_by_one_is_all_at_once() -> None:
    posterior = fold(X, Y)
    precision = np.eye(5) / TAU**2 + X.T @ X / SIGMA**2
    np.testing.assert_allclose(posterior.precision_FF, precision)
    np.testing.assert_allclose(posterior.mean_F, np.linalg.inv(precision) @ X.T @ Y / SIGMA**2)


def test_order_does_not_matter() -> None:
    np.testing.assert_allclose(fold(X, Y).mean_F, fold(X[::-1], Y[::-1]).mean_F)


def test_prediction_is_that_of_the_joint_gaussian() -> None:
    """Prior on functions: cov(y_i, y_j) = tau^2 x_i.x_j + sigma^2 [i = j]; conditioned on what was seen."""
    x = np.array([1.0, 0.3, -0.4, 0.8, 0.1])
    k = TAU**2 * X @ X.T + SIGMA**2 * np.eye(12)
    c = TAU**2 * X @ x
    mean, variance = fold(X, Y).predict(x, SIGMA)
    assert mean == pytest.approx(c @ np.linalg.solve(k, Y))
    assert variance == pytest.approx(TAU**2 * x @ x + SIGMA**2 - c @ np.linalg.solve(k, c))


def test_one_coefficient_against_numerical_integration() -> None:
    x, y = np.array([[0.5], [1.5], [-1.0]]), np.array([0.1, 0.2, -0.05])

    def weight(w: float) -> float:
        return float(stats.norm.pdf(w, scale=TAU) * np.prod(stats.norm.pdf(y, loc=w * x[:, 0], scale=SIGMA)))

    total = integrate.quad(weight, -1, 1)[0]
    mean = integrate.quad(lambda w: w * weight(w), -1, 1)[0] / total
    second = integrate.quad(lambda w: w * w * weight(w), -1, 1)[0] / total
    posterior = fold(x, y)
    assert posterior.mean_F[0] == pytest.approx(mean, rel=1e-6)
    assert 1 / posterior.precision_FF[0, 0] == pytest.approx(second - mean**2, rel=1e-6)


def test_a_vague_prior_gives_least_squares() -> None:
    np.testing.assert_allclose(fold(X, Y, tau=1e4).mean_F, np.linalg.lstsq(X, Y)[0], rtol=1e-4)


def test_nothing_seen_is_the_prior() -> None:
    x = np.array([1.0, 2.0])
    assert Posterior.prior(2, TAU).predict(x, SIGMA) == pytest.approx((0.0, SIGMA**2 + 5 * TAU**2))
