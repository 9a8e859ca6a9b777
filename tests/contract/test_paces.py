"""What every registered pace promises (crestfall.control.pace)."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crestfall.control.pace import Meter, Pace, Settled
from crestfall.core.build import component, options, plain, summary
from crestfall.core.registry import components
from crestfall.testbed.policies.base import separate
from crestfall.testbed.updates.base import UpdateRule
from table_policy import make, rollouts

PACES: list[Pace] = [component("pace", {"name": name}) for name in components("pace")]
METERS: list[Meter] = [pace for pace in PACES if isinstance(pace, Meter)]
METERS += [component("pace", {"name": m.name, "moments": "kept"}) for m in METERS]
NO_PULL = [component("pace", {"name": meter.name, "pull_back": None}) for meter in METERS]
DOCS = Path(__file__).parents[2] / "docs" / "pace.md"
TABLE = [[0.3, 0.0], [0.0, -0.4], [0.1, 0.2]]
DRAWN = [[[0, 1], [1, 0], [1, 1]], [[0, 0], [0, 1], [0, 0]]]
RATE = 1e-3

each = pytest.mark.parametrize("pace", [*PACES, *METERS[2:], *NO_PULL], ids=repr)
metered = pytest.mark.parametrize("pace", METERS, ids=repr)


class Step:
    """A step whose size is `whole` x share ^ power."""

    def __init__(self, whole: float, power: float) -> None:
        self.whole, self.power, self.share = whole, power, 1.0

    def size(self) -> float:
        return self.whole * self.share**self.power if self.share else 0.0

    def keep(self, share: float) -> None:
        assert 0 <= share < self.share
        self.share = share


def rule(pace: Pace, rate: float = RATE) -> UpdateRule:
    return component("update", {"name": "reinforce", "learning_rate": rate, "pace": plain(pace)})


def engine_of(pace: Pace, rate: float = RATE):
    return make(rule(pace, rate), TABLE, length=2, train=2, select=1, report=1, problems_per_step=2)


def drawn_by(engine, tokens_PG=DRAWN):
    """Rollouts with the log-probs that the engine's policy draws them under."""
    drawn = rollouts(tokens_PG)
    logprobs = [row.numpy().astype(np.float32) for row in engine._logprobs(separate(drawn.handle))]
    return replace(drawn, handle=replace(drawn.handle, logprobs_N=logprobs))


@each
@given(sizes=st.lists(st.floats(0, 1e6) | st.just(math.inf), max_size=8))
def test_states_survive_json_and_scales_stay_positive_and_finite(pace, sizes) -> None:
    state = pace.init()
    for size in sizes:
        before = dict(state)
        state = pace.next(state, Settled(size, size, 1.0))
        assert pace.next(before, Settled(size, size, 1.0)) == state
        assert json.loads(json.dumps(dict(state), allow_nan=False)) == dict(state)
        assert 0 < pace.scale(state) < math.inf


@metered
@given(whole=st.floats(1e-9, 1e9))
def test_a_step_is_never_left_longer_than_allowed(pace, whole) -> None:
    step = Step(whole, pace.power)
    settled = pace.settle(step.size, step.keep)
    assert settled.size <= pace.pull_back * pace.target
    assert (settled.proposed, settled.share) == (whole, step.share)
    assert settled.size == pytest.approx(step.size())
    if whole <= pace.pull_back * pace.target:
        assert settled.share == 1.0


@metered
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_step_that_cannot_be_measured_is_not_taken(pace, bad) -> None:
    shares: list[float] = []
    settled = pace.settle(lambda: bad, shares.append)
    assert settled == Settled(math.inf, 0.0, 0.0)
    assert shares[-1] == 0.0
    assert pace.scale(pace.next(pace.init(), settled)) == pace.slowest


@metered
def test_the_rate_follows_the_size(pace) -> None:
    def after(size: float) -> float:
        return pace.scale(pace.next(pace.init(), Settled(size, size, 1.0)))

    assert after(pace.target) == pytest.approx(1.0)
    assert after(pace.target * 2**pace.power) == pytest.approx(0.5)
    assert after(1e9) == pace.slowest
    assert after(0.0) == pace.fastest


@metered
def test_a_rate_that_is_lowered_shortens_the_steps_and_is_not_won_back(pace) -> None:
    """What a controller or a schedule takes from the rate, a pace that held steps at one size would give back."""
    wished = pace.target * 0.25**pace.power
    settled = pace.settle(lambda: wished, pytest.fail, 0.25)
    assert settled == Settled(wished, wished, 1.0)
    assert pace.scale(pace.next(pace.init(), settled, 0.25)) == pytest.approx(1.0)
    assert pace.scale(pace.next(pace.init(), settled)) == pace.fastest
    step = Step(pace.target, pace.power)
    assert pace.settle(step.size, step.keep, 0.25).size <= pace.pull_back * wished


@pytest.mark.parametrize("pace", NO_PULL, ids=repr)
def test_without_pull_back_nothing_is_put_anywhere(pace) -> None:
    settled = pace.settle(lambda: 1e3, pytest.fail)
    assert settled == Settled(1e3, 1e3, 1.0)


@each
def test_an_engine_goes_on_from_its_snapshot_to_the_bit(pace) -> None:
    engine = engine_of(pace)
    for _ in range(2):
        signals = engine.update(drawn_by(engine))
    assert all(np.isfinite(value) for value in signals.values())
    assert {"pace", "step_size", "step_cosine"} & signals.keys() == (
        set() if pace.measure == "none" else {"pace", "step_size", "step_cosine"}
    )
    again = engine_of(pace)
    again.restore(copy.deepcopy(engine.snapshot()))
    assert engine.update(drawn_by(engine)) == again.update(drawn_by(again))
    assert torch.equal(engine.policy.logits, again.policy.logits)


@each
def test_a_snapshot_from_before_there_were_paces_starts_one(pace) -> None:
    engine = engine_of(pace)
    old = {name: value for name, value in engine.snapshot().items() if name != "pace"}
    engine.update(drawn_by(engine))
    engine.restore(old)
    assert engine.pace.scale == 1.0


@metered
def test_a_rate_that_is_far_too_high_moves_the_policy_no_further_than_allowed(pace) -> None:
    engine = engine_of(pace, rate=5.0)
    signals = engine.update(drawn_by(engine))
    assert signals["step_proposed"] > pace.pull_back * pace.target
    assert 0 < signals["step_size"] <= pace.pull_back * pace.target
    assert signals["learning_rate"] == 5.0
    assert engine.update(drawn_by(engine))["learning_rate"] == pytest.approx(5.0 * pace.slowest)


@metered
def test_a_batch_that_moves_nothing_leaves_the_rate_alone(pace) -> None:
    engine = engine_of(pace)
    signals = engine.update(drawn_by(engine, [[[0, 1], [1, 1], [0, 1]], [[1, 1], [0, 1], [0, 1]]]))
    assert signals["update_norm"] == 0
    assert engine.pace.scale == 1.0


@metered
def test_moments_come_back_with_the_weights_or_stay(pace) -> None:
    engine = engine_of(pace, rate=1e-6)
    engine.update(drawn_by(engine))  # a step within bounds leaves moments behind
    before = {name: value.clone() for name, value in engine.optimizer.state().items()}
    engine.optimizer.rate.rule = rule(pace, rate=50.0)
    signals = engine.update(drawn_by(engine, [[[1, 1], [0, 0], [0, 1]], [[1, 0], [1, 1], [0, 0]]]))
    after = engine.optimizer.state()
    assert signals["step_share"] < 1
    same = all(torch.equal(after[name], before[name]) for name in before if name != "updates")
    assert same == (pace.moments == "put_back")


def test_a_pace_of_none_changes_no_number() -> None:
    plain_rule = component("update", {"name": "reinforce", "learning_rate": RATE})
    one = make(plain_rule, TABLE, length=2, train=2, select=1, report=1, problems_per_step=2)
    other = engine_of(component("pace", {"name": "none"}))
    assert one.update(rollouts(DRAWN)) == other.update(rollouts(DRAWN))
    assert not one.snapshot()["pace"]


def test_every_pace_is_documented() -> None:
    for name, cls in components("pace").items():
        assert summary(cls), name
        if cls.__module__.startswith("crestfall."):
            assert all(option.doc for option in options(cls)), name
            assert f"`{name}`" in DOCS.read_text(), f"docs/pace.md does not know pace {name}"
            assert component("pace", plain(cls())) == cls()


@pytest.mark.parametrize(("target", "updates"), [(1e9, 3), (1e-12, 1)])
def test_the_other_updates_of_a_batch_are_left_out_beyond_the_target(target, updates) -> None:
    pace = component("pace", {"name": "target_kl", "target": target})
    engine = make(
        replace(rule(pace), minibatches=1, epochs=3), TABLE, length=2, train=2, select=1, report=1, problems_per_step=2
    )
    engine.update(drawn_by(engine))
    assert engine.optimizer.updates == updates
