"""pass@k: equal to its definition, without bias, monotone, and its interval holds it."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crestfall.core.passk import estimate, pass_at_k

counts = st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n)))


@given(counts)
def test_equals_its_definition(nck):
    n, c, k = nck
    assert estimate(n, c, k) == pytest.approx(1 - math.comb(n - c, k) / math.comb(n, k), abs=1e-12)


@pytest.mark.parametrize(("p", "n", "k"), [(0.3, 6, 2), (0.05, 5, 5), (0.9, 4, 1)])
def test_has_no_bias(p, n, k):
    mean = sum(
        p ** sum(outcome) * (1 - p) ** (n - sum(outcome)) * estimate(n, sum(outcome), k)
        for outcome in itertools.product((0, 1), repeat=n)
    )
    assert mean == pytest.approx(1 - (1 - p) ** k)


@given(st.lists(st.integers(0, 10), min_size=1, max_size=50), st.integers(1, 10))
def test_interval_holds_the_estimate_and_stays_a_share(passed, k):
    result = pass_at_k([10] * len(passed), passed, k)
    assert 0 <= result.low <= result.value <= result.high <= 1
    assert result.low < result.high


@pytest.mark.parametrize(("n", "c", "k"), [(5, 6, 1), (5, -1, 1), (5, 1, 6), (5, 1, 0)])
def test_refuses_what_cannot_be_estimated(n, c, k):
    with pytest.raises(ValueError, match="cannot be estimated"):
        estimate(n, c, k)
