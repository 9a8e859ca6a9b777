"""After a return training goes on as it would have gone on from the step that was put back: what a snapshot forgets
shows in the weights that follow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crestfall import Guard, WeightAverage
from crestfall.core.errors import ConfigError, CrestfallWarning
from crestfall.core.types import Decision

torch = pytest.importorskip("torch")

from test_actions import Scripted  # noqa: E402

Loop = tuple[dict[str, Any], Callable[[], object]]
BACK = {3: Decision("rollback", 1, "back")}


def network() -> Any:
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 4))


def loss(model: Any) -> Any:
    return (model(torch.randn(5, 4).to(next(model.parameters()).dtype)) ** 2).mean()


def an_optimizer_for_every_parameter() -> Loop:
    """The step in the backward pass (LOMO, GaLore): torch's tutorial keeps the optimizers by their parameters."""
    model = network()
    optimizers = {weight: torch.optim.Adam([weight], foreach=False) for weight in model.parameters()}

    def step(weight: Any) -> None:
        optimizers[weight].step()
        optimizers[weight].zero_grad()

    for weight in model.parameters():
        weight.register_post_accumulate_grad_hook(step)
    return {"model": model, "optimizers": optimizers}, lambda: loss(model).backward()


class Nested(torch.optim.Optimizer):
    """bfloat16 weights, and a state of float32 tensors in lists and dicts beside 8-bit ones."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 0.01})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                past = state.setdefault("past", [])
                past.append(weight.grad.float() * 1.001)
                state["kept"] = {"mean": torch.stack(past).mean(0)}
                state["phase"] = f"after {len(past)}"
                state["eight"] = (state["kept"]["mean"].clamp(-1, 1) * 127).to(torch.int8)
                weight -= group["lr"] * (state["kept"]["mean"] + state["eight"].float() / 127).to(weight.dtype)


def a_nested_state_of_other_dtypes() -> Loop:
    model = network().bfloat16()
    return stepped(model, Nested(model.parameters()))


def stepped(model: Any, optimizer: Any, **others: Any) -> Loop:
    def step() -> None:
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()

    return {"model": model, "optimizer": optimizer, **others}, step


def master_weights_beside_the_model() -> Loop:
    model = network().bfloat16()
    master = [weight.detach().float().requires_grad_() for weight in model.parameters()]
    optimizer = torch.optim.AdamW(master, foreach=False)

    def step() -> None:
        model.zero_grad()
        loss(model).backward()
        for wide, weight in zip(master, model.parameters(), strict=True):
            wide.grad = weight.grad.float()
        optimizer.step()
        with torch.no_grad():
            for wide, weight in zip(master, model.parameters(), strict=True):
                weight.copy_(wide)

    return {"model": model, "master": master, "optimizer": optimizer}, step


def weights_that_are_views_of_one_tensor() -> Loop:
    model = network()
    flat = torch.nn.Parameter(torch.cat([weight.detach().reshape(-1) for weight in model.parameters()]))
    flat.grad, at = torch.zeros_like(flat), 0
    for weight in model.parameters():
        here = slice(at, at + weight.numel())
        weight.data, weight.grad = flat.detach()[here].view_as(weight), flat.grad[here].view_as(weight)
        at = here.stop
    optimizer = torch.optim.Adam([flat], foreach=False)

    def step() -> None:
        flat.grad.zero_()
        loss(model).backward()
        optimizer.step()

    return {"model": model, "optimizer": optimizer}, step


def options_that_change_on_the_way() -> Loop:
    state, step = stepped(model := network(), optimizer := torch.optim.AdamW(model.parameters(), foreach=False))

    def changing() -> None:
        for group in optimizer.param_groups:
            group["weight_decay"] *= 0.5
            group["betas"] = (group["betas"][0] * 0.9, 0.99)
        step()

    return state, changing


def generators_of_every_kind() -> Loop:
    generators = [np.random.RandomState(1), np.random.default_rng(2), torch.Generator().manual_seed(3)]
    state, step = stepped(model := network(), torch.optim.SGD(model.parameters(), 0.1), generators=generators)

    def noisy() -> None:
        step()
        numbers = [*(float(some.normal()) for some in generators[:2]), float(torch.rand(1, generator=generators[2]))]
        with torch.no_grad():
            model[0].bias.add_(sum(numbers))

    return state, noisy


def an_accumulating_accelerator() -> Loop:
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(gradient_accumulation_steps=2, cpu=True)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, 1, 10)
    model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)

    def step() -> None:
        for _ in range(2):
            with accelerator.accumulate(model):
                accelerator.backward(loss(model))
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()

    return {"model": model, "optimizer": optimizer, "scheduler": scheduler}, step


LOOPS = [
    an_optimizer_for_every_parameter,
    a_nested_state_of_other_dtypes,
    master_weights_beside_the_model,
    weights_that_are_views_of_one_tensor,
    options_that_change_on_the_way,
    generators_of_every_kind,
    an_accumulating_accelerator,
]


def went(loop: Callable[[], Loop], guarded: str, directory: Path) -> list[Any]:
    """The weights four steps on: from step 1, or from step 3 after a return to step 1."""
    torch.manual_seed(0)
    state, step = loop()

    def at(number: int) -> None:
        torch.manual_seed(100 + number)
        step()

    if not guarded:
        at(1)
    else:
        guard = Guard(directory, control=Scripted(BACK), state=state)
        at(1)
        guard.carry_out(guard.observe(1, select=0.5))
        if guarded == "a new process":
            guard.close()
            state, step = loop()
            at(9)
            guard = Guard(directory, control=Scripted(BACK), state=state)
        at(2)
        guard.carry_out(guard.observe(2, select=0.4))
        at(3)
        guard.carry_out(guard.observe(3, select=0.3))
        guard.close()
    for number in range(4):
        at(10 + number)
    return [tensor.detach().clone() for tensor in state["model"].state_dict().values()]


@pytest.mark.parametrize("guarded", ["one process", "a new process"])
@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_training_goes_on_as_if_nothing_had_been_in_between(loop: Any, guarded: str, tmp_path: Path) -> None:
    after, without = went(loop, guarded, tmp_path), went(loop, "", tmp_path)
    assert all(torch.equal(one, other) for one, other in zip(after, without, strict=True))


def test_two_things_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"two objects have the name 'a\.b'"):
        Guard(tmp_path, state={"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}})


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_buffer_that_no_state_dict_has_is_said_to_stay(in_memory: bool, tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    model.register_buffer("seen", torch.zeros(1), persistent=False)
    model.register_buffer("constant", torch.ones(1), persistent=False)
    guard = Guard(tmp_path, control=Scripted(BACK), state={"m": model}, in_memory=in_memory)
    guard.observe(1, select=0.5)
    model.seen += 1
    with pytest.warns(CrestfallWarning, match=r"persistent=False .* stay as they are: m\.seen \(1 in all\)"):
        guard.carry_out(guard.observe(3, select=0.3))
    guard.close()


def test_a_parameter_group_that_is_added_costs_the_snapshots_of_before_and_one_line(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    model = network()
    optimizer = torch.optim.Adam(model[0].parameters(), foreach=False)
    guard = Guard(tmp_path, control=Scripted(BACK), state={"m": model, "o": optimizer})
    guard.observe(1, select=0.5)
    optimizer.add_param_group({"params": list(model[2].parameters())})
    guard.observe(2, select=0.4)
    guard.carry_out(guard.observe(3, select=0.3))
    guard.close()
    said = [str(warning.message) for warning in recwarn if warning.category is CrestfallWarning]
    assert len(said) == 1
    assert "o has parameter groups of [2, 2] here and [2] there" in said[0]
    assert guard.decision.target_step == 2


def test_a_list_that_grows_is_seen(tmp_path: Path) -> None:
    buffer = [torch.zeros(2)]
    guard = Guard(tmp_path, control=Scripted({4: Decision("rollback", 2, "back")}), state={"buffer": buffer})
    guard.observe(1, select=0.5)
    buffer.append(torch.ones(2))
    with pytest.warns(CrestfallWarning, match="the state has changed: it holds buffer"):
        guard.observe(2, select=0.6)
    for tensor in buffer:
        tensor += 5
    guard.carry_out(guard.observe(4, select=0.4))
    assert [tensor.tolist() for tensor in buffer] == [[0, 0], [1, 1]]
    guard.close()


def test_an_average_of_a_layer_that_is_frozen_by_now_goes_back(tmp_path: Path) -> None:
    model = network()
    average = WeightAverage(model)
    state = {"m": model, "average": average}
    guard = Guard(tmp_path, control=Scripted(BACK), state=state)
    average.update()
    guard.observe(1, select=0.5)
    model[0].requires_grad_(False)
    with torch.no_grad():
        model[2].weight += 1
    average.update()
    guard.carry_out(guard.observe(3, select=0.3))
    guard.close()
    assert average.state_dict()["count"] == 1
    average.hand_on()
    assert torch.equal(model[2].weight, average.state_dict()["average"]["2.weight"])
