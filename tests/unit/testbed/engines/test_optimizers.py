"""Schedule-free AdamW and Prodigy in the native engine: exact snapshots, and what each looks at of the rate."""

from __future__ import annotations

import copy

import pytest
import torch

from crestfall.core.errors import MissingExtraError
from crestfall.testbed.engines import optimizer as optimizers
from crestfall.testbed.updates.reinforce import Reinforce
from table_policy import make, rollouts

TABLE = [[0.3, 0.0], [0.0, -0.4], [0.1, 0.2]]
DRAWN = [[[0, 1], [1, 0], [1, 1]], [[0, 0], [0, 1], [0, 0]]]
PACKAGES = {"schedule_free": "schedulefree", "prodigy": "prodigyopt"}


def engine_of(name: str, **more: object):
    rule = Reinforce(optimizer=name, learning_rate=0.05, **more)  # type: ignore[arg-type]
    return make(rule, TABLE, length=2, train=2, select=1, report=1, problems_per_step=2)


@pytest.fixture(params=list(PACKAGES))
def name(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(PACKAGES[request.param])
    return request.param


def test_an_engine_goes_on_from_its_snapshot_to_the_bit(name: str) -> None:
    engine = engine_of(name)
    for _ in range(3):
        engine.update(rollouts(DRAWN))
    again = engine_of(name)
    again.restore(copy.deepcopy(engine.snapshot()))
    for _ in range(3):
        assert engine.update(rollouts(DRAWN)) == again.update(rollouts(DRAWN))
    assert torch.equal(engine.policy.logits, again.policy.logits)


def test_training_moves_the_policy_and_forgetting_starts_anew(name: str) -> None:
    engine = engine_of(name)
    before = engine.weights()["logits"]
    for _ in range(8):
        engine.update(rollouts(DRAWN))
    assert not torch.equal(before, engine.weights()["logits"])
    engine.forget_optimizer()
    assert set(engine.optimizer.state()) == set(engine_of(name).optimizer.state())
    assert engine.optimizer.updates == 8
    engine.update(rollouts(DRAWN))


def test_prodigy_does_not_look_at_the_learning_rate_and_schedule_free_does(name: str) -> None:
    rates = [engine_of(name, rate_factor=f).update(rollouts(DRAWN))["learning_rate"] for f in (1.0, 0.5)]
    assert rates == pytest.approx([1.0, 0.5] if name == "prodigy" else [0.05, 0.025])


def test_schedule_free_is_evaluated_at_the_average(name: str) -> None:
    """Between two steps the weights are those to evaluate, and the optimizer says so."""
    engine = engine_of(name)
    engine.update(rollouts(DRAWN))
    assert not engine.optimizer.adam.param_groups[0].get("train_mode", False)


@pytest.mark.parametrize("missing", list(PACKAGES))
def test_without_the_package_the_extra_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*libraries: str) -> None:
        raise MissingExtraError(libraries[0], "optimizers")

    monkeypatch.setattr(optimizers, "require", absent)
    with pytest.raises(MissingExtraError, match="optimizers"):
        engine_of(missing)
