"""What the two halves of a batch say of its gradient, and a pace that follows it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from crestfall.control.pace import KLPace, NormPace  # noqa: E402
from crestfall.core.errors import ConfigError  # noqa: E402
from crestfall.guard.step_meter import StepMeter, WeightStep, output_layer  # noqa: E402
from crestfall.testbed.config import RunConfig  # noqa: E402
from crestfall.testbed.engines.agreement import Agreement, halves_of  # noqa: E402
from crestfall.testbed.policies.base import separate  # noqa: E402
from crestfall.testbed.updates.reinforce import Reinforce  # noqa: E402
from table_policy import make, rollouts  # noqa: E402

FOLLOWS = KLPace(follow="agreement")


def agreement_of(first: list[float], second: list[float]) -> float | None:
    """Of two halves with these gradients."""
    weight, seen = torch.nn.Parameter(torch.zeros(len(first))), Agreement(True)
    for gradient in (first, second):
        (weight * torch.tensor(gradient)).sum().backward()
        seen.see({"w": weight})
    seen.end()
    return seen.mean()


def test_it_is_the_cosine_of_the_halves_gradients() -> None:
    assert agreement_of([1.0, 0.0], [2.0, 0.0]) == pytest.approx(1.0)
    assert agreement_of([1.0, 0.0], [0.0, 3.0]) == pytest.approx(0.0)
    assert agreement_of([1.0, 0.0], [-1.0, 1.0]) == pytest.approx(-math.sqrt(0.5))
    assert agreement_of([0.0, 0.0], [1.0, 1.0]) is None


def engine_of(pace: KLPace | NormPace):
    rule = Reinforce(learning_rate=1e-3, pace=pace, baseline="group_mean")
    return make(rule, [[0.3, 0.0], [0.0, -0.4], [0.1, 0.2]], length=2, train=2, select=1, report=1, problems_per_step=2)


def drawn(engine):
    made = rollouts([[[0, 1], [1, 0], [1, 1]], [[0, 0], [0, 1], [0, 0]]])
    logprobs = [row.numpy().astype(np.float32) for row in engine._logprobs(separate(made.handle))]
    return replace(made, handle=replace(made.handle, logprobs_N=logprobs))


def test_halves_change_nothing_but_rounding() -> None:
    """Both accumulate the same gradient, with the whole minibatch's normaliser."""
    plain, halved = engine_of(KLPace()), engine_of(FOLLOWS)
    mine, theirs = plain.update(drawn(plain)), halved.update(drawn(halved))
    assert theirs["grad_norm"] == pytest.approx(mine["grad_norm"], rel=1e-5)
    assert -1 <= theirs["step_agreement"] <= 1
    assert "step_agreement" not in mine
    for name, weight in plain.weights().items():
        assert torch.allclose(weight, halved.weights()[name], atol=1e-6)


def test_halves_are_of_problems() -> None:
    rows = separate(drawn(engine_of(FOLLOWS)).handle)
    assert [half.tolist() for half in halves_of(rows, np.arange(6))] == [[0, 1, 2], [3, 4, 5]]
    assert [half.tolist() for half in halves_of(rows, np.arange(3))] == [[0, 1, 2]]


def test_steps_shrink_as_agreement_falls_and_grow_back() -> None:
    state = FOLLOWS.init()
    assert FOLLOWS.trust(state) == 1.0
    state = FOLLOWS.agree(state, 0.5)
    assert FOLLOWS.trust(state) == 1.0
    trusts = []
    for _ in range(30):
        state = FOLLOWS.agree(state, 0.0)
        trusts.append(FOLLOWS.trust(state))
    assert trusts == sorted(trusts, reverse=True)
    assert trusts[-1] == FOLLOWS.slowest
    for _ in range(30):
        state = FOLLOWS.agree(state, 0.5)
    assert FOLLOWS.trust(state) == pytest.approx(1.0, abs=0.01)
    assert KLPace().trust(KLPace().init()) == 1.0


def test_a_loop_of_ones_own_has_no_half_batches() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(ConfigError, match="follow='agreement' needs gradients of half batches"):
        StepMeter([weight], torch.optim.SGD([weight], lr=0.1), FOLLOWS)


def test_the_output_layer_is_found_by_name_and_its_share_is_of_squares() -> None:
    head, body = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(3))
    named = {"model.layers.0.self_attn.q_proj.weight": body, "lm_head.weight": head}
    assert output_layer(named) == [head]
    assert output_layer({"model.embed_tokens.weight": head, "x": body}) == [head]
    assert output_layer({"layers.0.q_proj.lora_A.default.weight": body}) == []
    step = WeightStep(named.values())
    with torch.no_grad():
        head.add_(1.0)
        body.add_(2.0)
    assert step.share_of([head]) == pytest.approx(2 / 14)
    assert step.share_of([]) is None
    assert output_layer(RunConfig().policy.load().named_parameters())


def test_a_state_of_before_is_read() -> None:
    assert FOLLOWS.trust({"scale": 0.5}) == 1.0
    assert FOLLOWS.agree({"scale": 0.5}, 0.2)["scale"] == 0.5
    assert replace(FOLLOWS, target=0.1).follow == "agreement"
