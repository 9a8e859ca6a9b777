"""Paired comparisons against scipy, and what they refuse to say."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from crestfall.analysis.compare import compare, holm, paired_t_p_value, probability_of_improvement, sign_flip_p_value
from crestfall.core.errors import InputError

D = np.array([0.02, 0.05, -0.01, 0.08, 0.03, 0.04, 0.01, 0.06])


def test_paired_t_as_scipy() -> None:
    assert paired_t_p_value(D) == pytest.approx(stats.ttest_rel(D + 0.3, np.full(8, 0.3)).pvalue)
    assert paired_t_p_value(np.full(5, 0.1)) is None


def test_the_sign_flip_p_value_is_the_share_of_patterns_at_least_as_far_from_zero() -> None:
    sums = [abs(np.dot(signs, D)) for signs in product((1, -1), repeat=len(D))]
    assert sign_flip_p_value(D) == pytest.approx(np.mean(np.array(sums) >= abs(D.sum()) - 1e-12))


def test_the_smallest_p_values() -> None:
    assert sign_flip_p_value(np.full(5, 0.1)) == 2 / 32
    assert sign_flip_p_value(np.full(6, 0.1)) == 2 / 64
    assert sign_flip_p_value(np.zeros(4)) == 1.0


def test_probability_of_improvement_as_mann_whitney() -> None:
    x, y = np.array([0.1, 0.4, 0.4, 0.9]), np.array([0.2, 0.4, 0.3])
    assert probability_of_improvement(x, y) == pytest.approx(stats.mannwhitneyu(x, y).statistic / 12)


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_below_six_seeds_nothing_is_significant() -> None:
    base = dict.fromkeys(range(5), 0.1)
    (c,) = compare("naive", base, {"es": {s: 0.5 + s / 100 for s in range(5)}})
    assert not c.significance_possible
    assert not c.significant
    assert c.claim == "5 seeds: no claim of significance is possible below 6"
    assert c.gains == 5


def test_eight_seeds_can_be() -> None:
    base = {s: 0.1 + s / 50 for s in range(8)}
    c, noise = compare("naive", base, {"es": {s: base[s] + 0.2 + s / 100 for s in base}, "same": dict(base)})
    assert c.significant
    assert c.holm_p_value == 2 * c.sign_flip_p_value == 4 / 256
    assert c.interval.low > 0.2
    assert "significant" in c.claim
    assert noise.holm_p_value == 1.0
    assert noise.claim.startswith("not significant")


def test_only_shared_seeds_are_paired() -> None:
    (c,) = compare("a", {1: 0.1, 2: 0.2, 3: 0.3}, {"b": {2: 0.3, 3: 0.5, 9: 0.9}})
    assert c.seeds == (2, 3)
    assert c.differences == pytest.approx((0.1, 0.2))
    with pytest.raises(InputError, match="share 1 seeds"):
        compare("a", {1: 0.1}, {"b": {1: 0.2}})
