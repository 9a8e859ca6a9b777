"""Bayesian linear regression with known noise: one capability member's change as a linear function of the context.

y = w.x + e, e ~ N(0, sigma^2), prior w ~ N(0, tau^2 I) (Bishop 2006, section 3.3). The paper says "linear-Gaussian
posterior" and gives no equations. Members are regressed one by one: with noise and prior isotropic the posterior of the
matrix W is the same, and a campaign in which a member could not be measured costs that member alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Posterior:
    """w ~ N(mean, precision^-1), over F features."""

    mean_F: FloatArray
    precision_FF: FloatArray

    @classmethod
    def prior(cls, features: int, tau: float) -> Posterior:
        return cls(np.zeros(features), np.eye(features) / tau**2)

    def after(self, x_F: FloatArray, y: float, sigma: float) -> Posterior:
        """Posterior after one more observation."""
        precision_FF = self.precision_FF + np.outer(x_F, x_F) / sigma**2
        mean_F = np.linalg.solve(precision_FF, self.precision_FF @ self.mean_F + x_F * y / sigma**2)
        return Posterior(mean_F, precision_FF)

    def predict(self, x_F: FloatArray, sigma: float) -> tuple[float, float]:
        """Mean and variance of the next observation at x."""
        variance = sigma**2 + x_F @ np.linalg.solve(self.precision_FF, x_F)
        return float(self.mean_F @ x_F), float(variance)
