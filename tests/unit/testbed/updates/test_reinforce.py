"""Advantages of REINFORCE's baselines."""

from __future__ import annotations

import numpy as np
import pytest

from crestfall.testbed.updates.reinforce import Reinforce

PASSED = np.array([[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=bool)


@pytest.mark.parametrize("reward", ["01", "pm1"])
@pytest.mark.parametrize("baseline", ["none", "batch_mean", "group_mean", "running_mean"])
def test_advantage_plus_baseline_is_the_reward(baseline, reward):
    got = Reinforce(baseline=baseline, reward=reward).advantages(PASSED, {})
    rewards = PASSED if reward == "01" else 2 * PASSED.astype(int) - 1
    np.testing.assert_allclose(got.values_PG + got.baseline_PG, rewards)
    assert got.baseline_PG.shape == PASSED.shape


def test_means_are_subtracted():
    batch = Reinforce(baseline="batch_mean").advantages(PASSED, {}).values_PG
    assert batch.mean() == pytest.approx(0)
    group = Reinforce(baseline="group_mean").advantages(PASSED, {}).values_PG
    np.testing.assert_allclose(group.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(group[1:], 0)


def test_only_successes_push_without_a_baseline():
    values = Reinforce(baseline="none").advantages(PASSED, {}).values_PG
    np.testing.assert_array_equal(values, PASSED)


def test_running_mean_is_of_the_past():
    rule = Reinforce(baseline="running_mean", running_decay=0.5)
    first = rule.advantages(PASSED, rule.init())
    assert first.state["running_mean"] == pytest.approx(PASSED.mean())
    second = rule.advantages(np.ones_like(PASSED), first.state)
    np.testing.assert_allclose(second.baseline_PG, PASSED.mean())
    assert second.state["running_mean"] == pytest.approx((PASSED.mean() + 1) / 2)


def test_a_batch_that_all_passed_gives_no_gradient():
    ones = np.ones((2, 3), dtype=bool)
    assert not Reinforce(baseline="batch_mean").advantages(ones, {}).values_PG.any()
