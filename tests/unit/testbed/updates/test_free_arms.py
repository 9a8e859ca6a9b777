"""The arms that cost nothing, as far as the update makes them: linear decay, a random reward, averaged weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from crestfall.core.rng import stream
from crestfall.guard.average import WeightAverage
from crestfall.store.checkpoints import flat
from crestfall.testbed.config import run_config
from crestfall.testbed.engines.sampling import rewarded
from crestfall.testbed.updates.random_reward import random_flips, random_reward
from crestfall.testbed.updates.reinforce import Reinforce
from crestfall.testbed.updates.rloo import RLOO
from table_policy import ascent, make, problems, rollouts

OWN = [[0.5, -0.2], [0.0, 0.7], [0.3, -0.4]]
TOKENS = [[[0, 1], [1, 0], [1, 1]], [[0, 0], [0, 1], [1, 0]]]


def test_linear_decay_ends_at_one_part_in_so_many_steps():
    rule = Reinforce(schedule="linear", learning_rate=0.1)
    assert [rule.decay(step, 4) for step in range(1, 7)] == [1, 0.75, 0.5, 0.25, 0.25, 0.25]
    assert {Reinforce().decay(step, 4) for step in range(1, 7)} == {1}
    engine = make(rule, OWN, length=2, steps=4)
    engine.begin_campaign(0, learning_rate_scale=0.5)
    rates = [engine.update(rollouts(TOKENS, step=step))["learning_rate"] for step in (1, 2, 3, 4)]
    assert rates == pytest.approx([0.05, 0.0375, 0.025, 0.0125])


def test_the_schedule_follows_the_step_counter_through_a_rollback():
    engine = make(Reinforce(schedule="linear", learning_rate=0.1), OWN, length=2, steps=4)
    before = engine.snapshot()
    engine.update(rollouts(TOKENS, step=1))
    engine.restore(before)
    assert engine.update(rollouts(TOKENS, step=2))["learning_rate"] == pytest.approx(0.075)


def test_a_random_reward_has_the_rate_and_not_the_programs():
    passed = np.array([stream("test", i).random(100) < 0.3 for i in range(40)])
    names = problems(40)
    random = random_reward(passed, names, (0, 0, 1))
    assert random.mean() == pytest.approx(passed.mean(), abs=0.03)
    assert abs(np.corrcoef(random.reshape(-1), passed.reshape(-1))[0, 1]) < 0.05
    np.testing.assert_array_equal(random, random_reward(passed, names, (0, 0, 1)))
    np.testing.assert_array_equal(random[5:], random_reward(passed, names, (0, 0, 1))[5:])
    for other in ((1, 0, 1), (0, 1, 1), (0, 0, 2)):
        assert not np.array_equal(random, random_reward(passed, names, other))
    assert random_reward(np.ones((2, 3), bool), names[:2], (0,)).all()
    assert not random_reward(np.zeros((2, 3), bool), names[:2], (0,)).any()


@pytest.mark.parametrize("rule", [Reinforce(), RLOO()], ids=lambda rule: rule.name)
def test_the_engine_rewards_at_random_sample_by_sample(rule):
    """Equal programs of a group get different rewards: they must not share one."""
    unequal = set()
    for step in range(1, 6):
        drawn = rollouts([[[1, 0], [1, 0], [1, 0], [0, 1]], [[0, 1], [0, 1], [0, 1], [1, 1]]], step=step)
        engine = make(replace(rule, rewarded="random"), OWN, length=2)
        passed = np.array([[grade.passed for grade in group] for group in drawn.grades_PG])
        rewarded = random_reward(passed, drawn.problems, (0, 0, step))
        unequal |= {len(set(group[:3])) for group in rewarded}
        advantages = rule.advantages(rewarded, {}).values_PG.reshape(-1)
        log_p = engine.policy.logits.log_softmax(-1)
        tokens = [row.tolist() for row in drawn.handle.tokens_N]
        naive = sum(a * (log_p[2, x] + log_p[x, y]) for a, (x, y) in zip(advantages, tokens, strict=True)) / 8
        (want,) = torch.autograd.grad(naive, engine.policy.logits)
        torch.testing.assert_close(ascent(engine, drawn), want, rtol=1e-5, atol=1e-8)
    assert 2 in unequal  # the case at hand was among them


def test_signals_still_tell_what_passed():
    drawn = rollouts(TOKENS)
    plain, random = (make(Reinforce(rewarded=r), OWN, length=2).update(drawn) for r in ("passed", "random"))
    for name in ("reward", "distinct", "zero_variance_groups", "entropy", "logprob_passed"):
        assert random[name] == pytest.approx(plain[name])


@pytest.mark.parametrize("decay", [None, 0.75])
def test_averages_against_the_formula(decay):
    weights = [torch.tensor([float(x), -2.0 * x * x]) for x in (1, 4, 2, 8)]
    now = {"x": weights[0].clone()}
    average, other = (WeightAverage.of(lambda: now, decay) for _ in range(2))
    for w in weights:
        now["x"].copy_(w)
        average.update()
    want = torch.stack(weights).mean(0)
    if decay is not None:
        want = weights[0]
        for w in weights[1:]:
            want = 0.75 * want + 0.25 * w
    torch.testing.assert_close(average.tensors()["weights"]["x"], want)
    other.load_tensors(average.tensors())
    for one in (average, other):
        one.update()
    assert torch.equal(average.tensors()["weights"]["x"], other.tensors()["weights"]["x"])


def test_an_average_that_is_loaded_stays_on_its_device():
    """Snapshots are read to the CPU, and the weights to be averaged with may be elsewhere."""
    average = WeightAverage.of(lambda: {"x": torch.zeros(2, device="meta")})
    average.load_tensors({"weights": {"x": torch.ones(2)}, "count": torch.tensor(3)})
    state = average.tensors()
    assert (state["weights"]["x"].device.type, int(state["count"])) == ("meta", 3)


def test_an_engine_averages_what_its_steps_left_and_a_snapshot_holds_it():
    engine = make(Reinforce(learning_rate=0.1), OWN, length=2, hand_on="mean")
    engine.begin_campaign(0)
    seen = [engine.weights()["logits"]]
    for step in (1, 2):
        engine.update(rollouts(TOKENS, step=step))
        seen.append(engine.weights()["logits"])
    torch.testing.assert_close(engine.snapshot()["average"]["weights"]["logits"], torch.stack(seen).mean(0))
    snapshot = engine.snapshot()
    engine.update(rollouts(TOKENS, step=3))
    after = engine.snapshot()
    engine.load_weights(snapshot)  # going back takes the average along, even where the optimizer stays
    assert torch.equal(engine.snapshot()["average"]["weights"]["logits"], snapshot["average"]["weights"]["logits"])
    engine.restore(snapshot)
    engine.update(rollouts(TOKENS, step=3))
    now = dict(flat(engine.snapshot()))
    assert all(torch.equal(now[name], value) for name, value in flat(after))
    engine.begin_campaign(1)
    assert torch.equal(engine.snapshot()["average"]["weights"]["logits"], engine.weights()["logits"])
    assert not make(Reinforce(), OWN).snapshot()["average"]


def test_free_arms_by_configuration_alone():
    config = run_config(
        {
            "update": {"name": "grpo", "schedule": "linear", "rewarded": "random", "kl": {"name": "paper_ewc"}},
            "campaign": {"hand_on": "ema"},
        }
    )
    assert config.update.kl.coefficient == 0.05
    assert config.update.decay(20, 20) == 0.05


def test_verdicts_are_turned_around_at_the_rate_asked_for_and_signals_keep_the_right_ones():
    flips = random_flips(0.05, 200, problems(40), (0, 0, 1))
    assert flips.mean() == pytest.approx(0.05, abs=0.01)
    np.testing.assert_array_equal(flips[5:], random_flips(0.05, 200, problems(40), (0, 0, 1))[5:])
    for key in ((1, 0, 1), (0, 1, 1), (0, 0, 2)):
        assert not np.array_equal(flips, random_flips(0.05, 200, problems(40), key))
    drawn = rollouts([[[1, 0], [1, 0], [1, 0], [0, 1]]] * 4, step=1)
    passed = np.array([[grade.passed for grade in group] for group in drawn.grades_PG])
    rule = Reinforce(flipped=0.5)
    turned = rewarded(rule, passed, drawn, 0)
    assert 0 < (turned != passed).mean() < 1
    engine = make(rule, OWN, length=2)
    assert engine.update(drawn)["reward"] == pytest.approx(passed.mean())
    assert rewarded(Reinforce(), passed, drawn, 0) is passed


def test_a_rate_factor_multiplies_whatever_the_rate_is():
    drawn = rollouts([[[1, 0], [1, 0], [1, 0], [0, 1]]], step=1)
    rates = [make(Reinforce(learning_rate=0.1, rate_factor=f), OWN, length=2).update(drawn) for f in (1.0, 0.25)]
    assert [r["learning_rate"] for r in rates] == pytest.approx([0.1, 0.025])
