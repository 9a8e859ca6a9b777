"""KL penalties: their gradients against the divergences themselves, over all sequences that can be drawn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from crestfall.testbed.engines.batch import Batch
from crestfall.testbed.policies.base import separate
from crestfall.testbed.updates.kl import AdaptiveKL, FixedKL, PaperEWC, estimate
from crestfall.testbed.updates.reinforce import Reinforce
from table_policy import ascent, make, problems, rollouts, samples_of

K = 3
OWN = [[0.5, -0.2, 0.1], [0.0, 0.7, -0.7], [0.3, 0.3, -1.0], [1.0, 0.2, -0.4]]
REFERENCE = [[0.1, 0.4, -0.3], [0.6, 0.0, 0.2], [-0.2, 0.5, 0.0], [0.0, 0.5, 0.1]]
SEQUENCES = [list(s) for s in itertools.product(range(K), repeat=2)]


def expected_gradient(estimator: str, coefficient: float = 1.0) -> torch.Tensor:
    """Of the penalty alone, over all sequences of two tokens weighted with their probabilities."""
    engine = make(Reinforce(kl=FixedKL(estimator=estimator, coefficient=coefficient)), OWN, length=2)
    reference = torch.tensor(REFERENCE, dtype=torch.float64)
    samples = samples_of(problems(1), SEQUENCES)
    rows = separate(samples)
    own = engine._logprobs(rows)
    with engine._as({"logits": reference}):
        known = engine._logprobs(rows)
    probabilities = np.array([float(row.sum().exp()) for row in own])
    rows = type(rows)(samples, rows.first_R, probabilities, rows.row_of_N)
    engine.optimizer.zero()
    batch = Batch(rows, np.zeros((1, len(SEQUENCES))), np.ones(1, dtype=bool), None, known)
    engine._accumulate(batch, np.arange(len(SEQUENCES)))
    return engine.policy.logits.grad


def divergence(direction: str, whole_sequences: bool) -> torch.Tensor:
    """Gradient of the KL, with or without what the first token does to that of the second."""
    logits = torch.tensor(OWN, dtype=torch.float64, requires_grad=True)
    log_p, log_q = logits.log_softmax(-1), torch.tensor(REFERENCE, dtype=torch.float64).log_softmax(-1)
    if direction == "reverse":
        kl_S = (log_p.exp() * (log_p - log_q)).sum(-1)
    else:
        kl_S = (log_q.exp() * (log_q - log_p)).sum(-1)
    first = log_p[K].exp()
    total = kl_S[K] + ((first if whole_sequences else first.detach()) * kl_S[:K]).sum()
    return torch.autograd.grad(total, logits)[0]


@pytest.mark.parametrize(
    ("estimator", "direction", "whole_sequences"),
    [("k1", "reverse", True), ("k2", "reverse", False), ("k3", "forward", False)],
)
def test_what_each_estimator_descends(estimator, direction, whole_sequences):
    torch.testing.assert_close(
        expected_gradient(estimator), divergence(direction, whole_sequences), rtol=1e-5, atol=1e-7
    )
    torch.testing.assert_close(
        expected_gradient(estimator, 0.2), 0.2 * divergence(direction, whole_sequences), rtol=1e-5, atol=1e-7
    )


def test_k1_as_a_loss_would_be_no_penalty():
    logits = torch.tensor(OWN[K], dtype=torch.float64, requires_grad=True)
    log_p, log_q = logits.log_softmax(-1), torch.tensor(REFERENCE[K], dtype=torch.float64).log_softmax(-1)
    loss = (log_p.exp().detach() * estimate("k1", log_p - log_q)).sum()
    torch.testing.assert_close(torch.autograd.grad(loss, logits)[0], torch.zeros(K, dtype=torch.float64))


@pytest.mark.parametrize(("estimator", "unbiased"), [("k1", True), ("k2", False), ("k3", True)])
def test_estimates_of_the_divergence(estimator, unbiased):
    log_p, log_q = (torch.tensor(table[K], dtype=torch.float64).log_softmax(-1) for table in (OWN, REFERENCE))
    truth = float((log_p.exp() * (log_p - log_q)).sum())
    estimated_K = estimate(estimator, log_p - log_q)
    assert float((log_p.exp() * estimated_K).sum()) == pytest.approx(truth, rel=1e-9 if unbiased else 0.3)
    assert estimator == "k1" or bool((estimated_K >= 0).all())


def engine_apart(kl: FixedKL):
    """An engine whose policy has moved away from base and start."""
    engine = make(Reinforce(baseline="group_mean", kl=kl), OWN, length=2)
    with torch.no_grad():
        engine.policy.logits.copy_(torch.tensor(REFERENCE, dtype=torch.float64))
    return engine


DRAWN = rollouts([[[0, 1], [2, 0], [1, 1], [0, 0]], [[2, 2], [1, 0], [0, 1], [1, 2]]])


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_at_the_reference_there_is_no_penalty_and_away_from_it_there_is(estimator):
    plain = ascent(make(Reinforce(baseline="group_mean"), OWN, length=2), DRAWN)
    at = make(Reinforce(baseline="group_mean", kl=FixedKL(estimator=estimator, reference="start")), OWN, length=2)
    torch.testing.assert_close(ascent(at, DRAWN), plain, rtol=0, atol=0)
    apart = engine_apart(FixedKL(estimator=estimator))
    moved = ascent(apart, DRAWN)
    apart.begin_campaign(1)
    unpulled = ascent(engine_apart(FixedKL(coefficient=0)), DRAWN)
    assert not torch.allclose(moved, unpulled)


def test_the_reference_is_the_base_or_the_start():
    for reference, pulled in (("base", True), ("start", False)):
        engine = engine_apart(FixedKL(coefficient=1.0, reference=reference))
        engine.begin_campaign(1)  # from here on the start is where the policy is
        free = ascent(engine_apart(FixedKL(coefficient=0)), DRAWN)
        assert torch.equal(ascent(engine, DRAWN), free) != pulled
        engine = engine_apart(FixedKL(coefficient=1.0, reference=reference))
        engine.begin_campaign(1)
        assert (abs(engine.update(DRAWN)["kl_penalty"]) > 1e-3) == pulled


def test_the_penalty_of_a_step_is_recorded():
    kl = FixedKL(coefficient=0.3, estimator="k2")
    signals = engine_apart(kl).update(DRAWN)
    log_p, log_q = (torch.tensor(t, dtype=torch.float64).log_softmax(-1) for t in (REFERENCE, OWN))
    tokens = [row.tolist() for row in DRAWN.handle.tokens_N]
    each = [((log_p - log_q)[[K, a], [a, b]] ** 2 / 2).sum() for a, b in tokens]
    assert signals["kl_penalty"] == pytest.approx(0.3 * float(sum(each)) / len(each), rel=1e-5)
    assert signals["kl_coefficient"] == 0.3
    assert not {"kl_penalty", "kl_coefficient"} & set(make(Reinforce(), OWN, length=2).update(DRAWN))


def test_the_adaptive_coefficient_goes_where_the_kl_is():
    kl = AdaptiveKL(target=0.02)
    state = kl.init()
    assert state == {"coefficient": 0.05}
    assert kl.observe(state, 1.0)["coefficient"] == pytest.approx(0.05 * 1.02)  # the error is bounded at 0.2
    assert kl.observe(state, 0.0)["coefficient"] == pytest.approx(0.05 * 0.98)
    assert kl.observe(state, 0.021)["coefficient"] == pytest.approx(0.05 * (1 + 0.1 * 0.05))
    assert kl.observe(state, 0.02) == state
    assert FixedKL().observe(FixedKL().init(), 1.0) == FixedKL().init()


def test_the_adaptive_coefficient_is_part_of_a_snapshot():
    engine = engine_apart(AdaptiveKL())
    before = engine.snapshot()
    first, second = (engine.update(DRAWN)["kl_coefficient"] for _ in range(2))
    assert (first, second) == (0.05, pytest.approx(0.05 * 1.02))
    other = engine_apart(AdaptiveKL())
    other.restore(engine.snapshot())
    assert other.update(DRAWN)["kl_coefficient"] == pytest.approx(0.05 * 1.02**2)
    engine.restore(before)
    assert engine.update(DRAWN)["kl_coefficient"] == 0.05


@pytest.mark.parametrize(("kept", "coefficient"), [("fresh", 0.05), ("kept", 0.05 * 1.02)])
def test_between_campaigns_it_goes_with_the_optimizer(kept, coefficient):
    engine = make(Reinforce(kl=AdaptiveKL(target=1e-9), optimizer_state=kept), OWN, length=2)
    with torch.no_grad():
        engine.policy.logits.copy_(torch.tensor(REFERENCE, dtype=torch.float64))
    engine.update(DRAWN)
    engine.begin_campaign(1)
    assert engine.update(DRAWN)["kl_coefficient"] == pytest.approx(coefficient)


def test_the_papers_ewc_is_a_kl_of_five_hundredths_to_the_start():
    assert PaperEWC().init() == {"coefficient": 0.05}
    assert PaperEWC().reference == "start"
    engine, same = (make(Reinforce(kl=kl), OWN, length=2) for kl in (PaperEWC(), FixedKL(reference="start")))
    for one in (engine, same):
        with torch.no_grad():
            one.policy.logits.copy_(torch.tensor(REFERENCE, dtype=torch.float64))
    assert torch.equal(ascent(engine, DRAWN), ascent(same, DRAWN))
