"""Every rule on a two-armed bandit, where the expected gradient has a closed form and the expectation is a sum.

Arm 1 pays 1, arm 0 nothing; p is the probability of arm 1. The expectation is taken over all groups that can be drawn,
each of them through the real engine.
"""

from __future__ import annotations

import math
from math import comb

import numpy as np
import pytest
import torch

from crestfall.testbed.updates.dapo import DAPO
from crestfall.testbed.updates.dr_grpo import DrGRPO
from crestfall.testbed.updates.grpo import GRPO
from crestfall.testbed.updates.reinforce import Reinforce
from crestfall.testbed.updates.rloo import RLOO
from table_policy import ascent, groups, make, rollouts

GROUP = 5
P = [0.1, 0.5, 0.8]


def logits(p: float) -> list[list[float]]:
    return [[0, 0], [0, 0], [0, math.log(p / (1 - p))]]


def expected(rule, p: float) -> float:
    """Of the gradient with respect to arm 1's logit."""
    total = 0.0
    for group in groups(2, GROUP):
        k = sum(arm for (arm,) in group)
        total += p**k * (1 - p) ** (GROUP - k) * float(ascent(make(rule, logits(p)), rollouts([group]))[-1, 1])
    return total


def mean_std(p: float) -> float:
    """E[sqrt(k (G - k)) / G], the expected std of a group of Bernoulli rewards."""
    weights = (comb(GROUP, k) * p**k * (1 - p) ** (GROUP - k) for k in range(GROUP + 1))
    return sum(w * math.sqrt(k * (GROUP - k)) / GROUP for k, w in enumerate(weights))


CLOSED = [
    (Reinforce(baseline="none"), lambda p: p * (1 - p)),
    (Reinforce(baseline="none", reward="pm1"), lambda p: 2 * p * (1 - p)),
    (Reinforce(baseline="group_mean"), lambda p: (GROUP - 1) / GROUP * p * (1 - p)),
    (RLOO(), lambda p: p * (1 - p)),
    (DrGRPO(), lambda p: (GROUP - 1) / GROUP * p * (1 - p)),
    (GRPO(), mean_std),
    (DAPO(), mean_std),
]


@pytest.mark.parametrize("p", P)
@pytest.mark.parametrize(("rule", "closed"), CLOSED, ids=lambda x: getattr(type(x), "name", ""))
def test_the_expected_gradient_is_the_closed_form(rule, closed, p):
    assert expected(rule, p) == pytest.approx(closed(p), rel=1e-5)


def test_the_constant_of_dr_grpo_is_the_token_limit():
    drawn = rollouts([[[0, 1], [0, 0], [1, 1], [1, 0]]])
    table = [[0.3, 0.0], [0.0, -0.4], [0.1, 0.0]]
    summed = ascent(make(Reinforce(baseline="group_mean"), table, length=2), drawn)
    torch.testing.assert_close(ascent(make(DrGRPO(), table, length=2), drawn), summed / 2)


def test_groups_without_a_signal_leave_dapos_normaliser_and_stay_in_grpos():
    mixed, dull = [[1], [0], [0], [1]], [[1], [1], [1], [1]]
    table = logits(0.3)
    alone = ascent(make(DAPO(), table), rollouts([mixed]))
    torch.testing.assert_close(ascent(make(DAPO(), table), rollouts([mixed, dull, dull])), alone)
    grpo = ascent(make(GRPO(), table), rollouts([mixed, dull, dull]))
    torch.testing.assert_close(3 * grpo, alone)


def test_groups_left_out_give_no_gradient_whatever_the_baseline():
    rule = Reinforce(baseline="none", zero_variance_groups="left_out")
    mixed, dull = [[1], [0]], [[1], [1]]
    both = ascent(make(rule, logits(0.3)), rollouts([mixed, dull]))
    torch.testing.assert_close(both, ascent(make(rule, logits(0.3)), rollouts([mixed])))
    assert not ascent(make(rule, logits(0.3)), rollouts([dull, dull])).any()


def test_clip_higher_is_decoupled():
    """Which tokens are clipped, by hand: up to 1.28 for what is pushed up, down to 0.8 for what is pushed down."""
    rule, old = DAPO(), torch.zeros(6, 1)
    ratio = torch.tensor([1.2, 1.3, 0.5, 0.9, 0.7, 1.5])[:, None]
    advantage = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    logprobs = ratio.log().requires_grad_()
    (grad,) = torch.autograd.grad(rule.objective(logprobs, old, advantage).sum(), logprobs)
    flat = np.array([False, True, False, False, True, False])
    np.testing.assert_array_equal((grad == 0).numpy()[:, 0], flat)
    np.testing.assert_array_equal(rule.clipped(ratio, advantage).numpy()[:, 0], flat)
    torch.testing.assert_close(grad[~flat], (ratio * advantage[:, None])[~flat])
