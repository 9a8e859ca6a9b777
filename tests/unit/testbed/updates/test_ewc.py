"""Fisher-weighted EWC: its Fisher against the closed form, its pull against the formula, and what it survives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from crestfall.testbed.updates.ewc import FisherEWC
from crestfall.testbed.updates.fisher import diagonal_fisher, pull
from crestfall.testbed.updates.reinforce import Reinforce
from table_policy import make, problems, rollouts, samples_of

OWN = [[0.5, -0.2], [0.0, 0.7], [0.3, -0.4]]
MIXED = rollouts([[[0, 1], [1, 0], [1, 1]], [[0, 0], [0, 1], [1, 0]]])


def engine(learning_rate: float = 0.1, **ewc):
    small = {"train": 4, "select": 1, "report": 1, "problems_per_step": 4}
    return make(Reinforce(learning_rate=learning_rate, ewc=FisherEWC(**ewc)), OWN, length=2, **small)


def test_the_fisher_of_a_bandit_is_p_times_1_minus_p():
    """For a softmax over two arms d log pi(y) / d logit_k = 1[y = k] - p_k, whose square has the mean p (1 - p)."""
    policy = make(Reinforce(), [[0.0, 0.0], [0.0, 0.0], [0.0, math.log(3)]]).policy
    drawn = samples_of(problems(1), [[1], [1], [1], [0]])  # exactly the proportions 3 : 1
    fisher = diagonal_fisher(policy, [drawn], 1.0)["logits"]
    torch.testing.assert_close(fisher[2], torch.full((2,), 3 / 16, dtype=torch.float64))
    assert not fisher[:2].any()
    assert policy.logits.grad is None


def test_whole_completions_are_squared_and_not_their_tokens():
    policy = make(Reinforce(), OWN, length=2).policy
    drawn = samples_of(problems(1), [[0, 0], [1, 1], [1, 1], [0, 1]])
    total = torch.zeros(3, 2, dtype=torch.float64)
    for a, b in ([0, 0], [1, 1], [1, 1], [0, 1]):
        log_p = policy.logits.log_softmax(-1)
        (grad,) = torch.autograd.grad(log_p[2, a] + log_p[a, b], policy.logits)
        total += grad**2 / 4
    torch.testing.assert_close(diagonal_fisher(policy, [drawn], 1.0)["logits"], total)


def test_the_pull_is_the_gradient_of_the_penalty():
    anchor, fisher = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 3.0])
    theta = torch.nn.Parameter(torch.tensor([1.5, 1.0]))
    theta.grad = torch.tensor([0.25, -1.0])
    penalty = pull({"x": theta}, {"x": anchor}, {"x": fisher}, 0.7)
    naive = 0.7 / 2 * (fisher * (theta - anchor) ** 2).sum()
    (want,) = torch.autograd.grad(naive, theta)
    assert penalty == pytest.approx(naive.item())
    torch.testing.assert_close(theta.grad, torch.tensor([0.25, -1.0]) + want)


def test_nothing_at_the_anchor_and_something_away_from_it():
    pulled, free = engine(strength=10.0), make(Reinforce(learning_rate=0.1), OWN, length=2)
    assert pulled.update(MIXED)["ewc_penalty"] == 0
    free.update(MIXED)
    assert torch.equal(pulled.policy.logits, free.policy.logits)
    assert pulled.update(MIXED)["ewc_penalty"] > 0
    free.update(MIXED)
    assert not torch.equal(pulled.policy.logits, free.policy.logits)


def test_a_strong_pull_keeps_the_policy_near():
    def distance(strength: float) -> float:
        one = engine(learning_rate=0.02, strength=strength)
        for _ in range(30):
            one.update(MIXED)
        return float((one.policy.logits.detach() - torch.tensor(OWN, dtype=torch.float64)).norm())

    assert distance(100.0) < 0.3 * distance(0.0)


def test_the_anchor_is_the_start_or_the_base():
    for anchor, penalty_at_the_new_start in (("start", False), ("base", True)):
        one = engine(strength=1.0, anchor=anchor)
        one.update(MIXED)
        one.begin_campaign(1)
        assert (one.update(MIXED)["ewc_penalty"] > 0) == penalty_at_the_new_start


@pytest.mark.parametrize("anchor", ["start", "base"])
def test_the_fisher_is_the_same_after_a_resume(anchor):
    whole = engine(strength=1.0, anchor=anchor)
    whole.begin_campaign(0)
    whole.update(MIXED)
    handed_on = whole.snapshot()
    whole.begin_campaign(1)
    whole.update(MIXED)
    middle = whole.snapshot()
    other = engine(strength=1.0, anchor=anchor)
    other.restore(handed_on)
    other.begin_campaign(1)
    other.restore(middle)
    assert whole.update(MIXED) == other.update(MIXED)
    assert torch.equal(whole.importance["logits"], other.importance["logits"])
    assert torch.equal(whole.policy.logits, other.policy.logits)
    assert not any("fisher" in name for name in middle)


def test_every_campaign_has_a_fisher_of_its_own():
    one = engine()
    one.update(MIXED)
    first = one.importance["logits"]
    one.begin_campaign(1)
    one.update(MIXED)
    assert not np.array_equal(first, one.importance["logits"])
