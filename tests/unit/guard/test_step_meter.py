"""The step meter in a loop of one's own: steps of one size, moments and rates put back, ranks alike."""

from __future__ import annotations

import math

import pytest
import torch

from crestfall.core.errors import ConfigError
from crestfall.guard.step_meter import MOST_PER_TOKEN, StepMeter, k3


class Loop:
    """A softmax over five words that a loss pushes to the first, at any rate."""

    def __init__(self, rate: float, pace="kl") -> None:
        self.logits = torch.nn.Parameter(torch.zeros(5))
        self.optimizer = torch.optim.AdamW([self.logits], lr=rate, weight_decay=0.0)
        self.meter = StepMeter([self.logits], self.optimizer, pace)
        self.words = torch.arange(5).repeat(20)

    def logprobs(self) -> torch.Tensor:
        return self.logits.log_softmax(0)[self.words]

    def step(self):
        self.optimizer.zero_grad()
        (-self.logits.log_softmax(0)[0]).backward()
        self.meter.before(self.logprobs)
        self.optimizer.step()
        return self.meter.after()


def exact_kl(old: torch.Tensor, new: torch.Tensor) -> float:
    return float((old.exp() * (old - new)).sum())


@pytest.mark.parametrize("rate", [1e-4, 1e-1, 100.0])
def test_whatever_the_rate_steps_come_to_the_target(rate: float) -> None:
    loop = Loop(rate)
    for _ in range(20):
        old = loop.logits.detach().log_softmax(0)
        measured = loop.step()
        assert measured.size <= 0.02
    new = loop.logits.detach().log_softmax(0)
    assert loop.optimizer.param_groups[0]["lr"] == rate  # a scheduler finds what it left
    assert measured.size > 0.002
    assert exact_kl(old, new) < 0.05


def test_what_it_measures_is_the_kl_of_the_words_drawn() -> None:
    old, new = torch.tensor([0.5, 0.3, 0.2]).log(), torch.tensor([0.4, 0.4, 0.2]).log()
    words = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)  # as often as the old policy says
    assert float(k3(new - old)[words].mean()) == pytest.approx(exact_kl(old, new))
    assert float(k3(torch.tensor(9.0))) == MOST_PER_TOKEN


def test_a_pulled_back_step_forgets_its_moments_and_a_short_one_keeps_them() -> None:
    loop = Loop(100.0)
    assert loop.step().share < 1
    assert loop.optimizer.state[loop.logits] == {}
    calm = Loop(1e-4)
    assert calm.step().share == 1
    assert int(calm.optimizer.state[calm.logits]["step"]) == 1


def test_weights_that_became_nan_are_put_back() -> None:
    loop = Loop(0.1)
    before = loop.logits.detach().clone()
    loop.meter.before(loop.logprobs)
    with torch.no_grad():
        loop.logits.fill_(math.nan)
    measured = loop.meter.after()
    assert (measured.share, measured.size) == (0.0, 0.0)
    assert torch.equal(loop.logits.detach(), before)


def test_the_norm_needs_no_logprobs() -> None:
    weights = torch.nn.Parameter(torch.full((100,), 2.0))
    optimizer = torch.optim.SGD([weights], lr=10.0)
    meter = StepMeter([weights], optimizer, {"name": "norm", "target": 0.01})
    weights.grad = torch.ones(100)
    meter.before()
    optimizer.step()
    measured = meter.after()
    assert measured.proposed == pytest.approx(5.0)
    assert float((weights.detach() - 2).norm()) / 20 == pytest.approx(measured.size)
    assert measured.size <= 0.02


def test_a_step_that_moves_nothing_leaves_the_rate_alone() -> None:
    loop = Loop(0.1)
    loop.meter.before(loop.logprobs)
    assert loop.meter.after().scale == 1.0


def test_masked_tokens_say_nothing() -> None:
    loop = Loop(0.1)
    mask = (loop.words == 1).float()
    nothing = torch.full((100,), -math.inf)
    loop.meter.before(lambda: (torch.where(mask > 0, loop.logprobs(), nothing), mask))
    with torch.no_grad():
        loop.logits[0] += 0.1
    change = loop.logits.detach().log_softmax(0)[1] - math.log(0.2)
    assert loop.meter.after().proposed == pytest.approx(float(k3(change)), abs=1e-6)


def test_its_state_goes_into_a_guard_and_back() -> None:
    loop = Loop(100.0)
    loop.step()
    other = Loop(100.0)
    other.meter.load_state_dict(loop.meter.state_dict())
    assert other.meter.scale == loop.meter.scale == 0.25


def test_misuse_is_one_clear_line() -> None:
    loop = Loop(0.1)
    with pytest.raises(ConfigError, match="without before"):
        loop.meter.after()
    with pytest.raises(ConfigError, match="needs log-probs"):
        loop.meter.before()
    loop.meter.before(loop.logprobs)
    with pytest.raises(ConfigError, match="twice"):
        loop.meter.before(loop.logprobs)
    with pytest.raises(ConfigError, match="measures nothing"):
        Loop(0.1, "none")
    loop.meter.after()
    loop.optimizer.add_param_group({"params": [torch.zeros(2, requires_grad=True)]})
    with pytest.raises(ConfigError, match="trains parameters that the meter does not have"):
        loop.meter.before(loop.logprobs)
    with pytest.raises(ConfigError, match="did you mean 'kl'"):
        Loop(0.1, "kll")


def network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))


def test_two_optimizers_share_a_step() -> None:
    """Muon for matrices, AdamW for the rest, as such loops have it."""
    model = network()
    matrices = [weight for weight in model.parameters() if weight.dim() == 2]
    muon = torch.optim.Muon(matrices, lr=10.0)
    adam = torch.optim.AdamW([weight for weight in model.parameters() if weight.dim() < 2], lr=10.0)
    meter = StepMeter(model.parameters(), [muon, adam], {"name": "norm", "target": 1e-3})
    for number in range(4):
        model.zero_grad()
        (model(torch.ones(2, 4)) ** 2).mean().backward()
        meter.before()
        muon.step()
        adam.step()
        measured = meter.after()
        assert measured.size <= 2e-3
        if number == 0:
            assert measured.share < 1
            assert not muon.state
            assert not adam.state
    assert (muon.param_groups[0]["lr"], adam.param_groups[0]["lr"]) == (10.0, 10.0)


def test_lists_and_counters_of_an_optimizer_are_pulled_back_too() -> None:
    """L-BFGS keeps lists of tensors, and a schedule-free optimizer its counters in the parameter groups."""
    model = network()
    lbfgs = torch.optim.LBFGS(model.parameters(), lr=1.0, max_iter=3)

    def loss() -> torch.Tensor:
        lbfgs.zero_grad()
        value = (model(torch.ones(2, 4)) ** 2).mean()
        value.backward()
        return value

    meter = StepMeter(model.parameters(), lbfgs, {"name": "norm", "target": 1e3})
    meter.before()
    lbfgs.step(loss)
    meter.after()
    state, group = lbfgs.state[next(model.parameters())], lbfgs.param_groups[0]
    group["k"] = 7
    iterations, directions = state["n_iter"], [direction.clone() for direction in state["old_dirs"]]
    meter = StepMeter(model.parameters(), lbfgs, {"name": "norm", "target": 1e-9})
    meter.before()
    lbfgs.step(loss)
    group["k"] = 8
    assert meter.after().share < 1
    assert (state["n_iter"], group["k"]) == (iterations, 7)
    assert len(state["old_dirs"]) == len(directions)
    assert all(torch.equal(now, then) for now, then in zip(state["old_dirs"], directions, strict=True))


def test_an_optimizer_that_works_out_its_own_rate_is_refused() -> None:
    model = network()
    adafactor = pytest.importorskip("transformers.optimization").Adafactor(model.parameters(), relative_step=True)
    with pytest.raises(ConfigError, match="lr=None and works out its own learning rate"):
        StepMeter(model.parameters(), adafactor, "norm")


def test_dropout_is_no_step() -> None:
    model = torch.nn.Sequential(network(), torch.nn.Dropout(0.5))
    meter = StepMeter(model.parameters(), torch.optim.SGD(model.parameters(), lr=0.1), "kl")

    def logprobs() -> torch.Tensor:
        return model(torch.ones(8, 4)).log_softmax(-1)[:, 0]

    with pytest.raises(ConfigError, match="switch dropout off in it"):
        meter.before(logprobs)
    model.eval()
    meter.before(logprobs)
    assert meter.after().size == 0
