"""Odd numbers, odd tensors, changed models and every scheduler: exact, or refused in one line that names the thing."""

import decimal
import fractions
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_actions import Scripted

from crestfall import Guard
from crestfall.core.errors import ConfigError, CrestfallWarning, InputError
from crestfall.core.types import Decision
from crestfall.guard.scores import greater_is_better

torch = pytest.importorskip("torch")
BACK = {3: Decision("rollback", 1, "as told")}


class Score(float):
    """A float with a name, as metric libraries make them."""


@pytest.mark.parametrize(
    "number",
    [
        Score(0.5), decimal.Decimal("0.5"), fractions.Fraction(1, 2), np.float16(0.5), np.float64(0.5), np.array(0.5),
        torch.tensor(0.5), torch.tensor(0.5, requires_grad=True), torch.tensor(0.5, dtype=torch.bfloat16),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_numbers_of_every_make_are_numbers(number: Any, tmp_path: Path) -> None:
    with Guard(tmp_path) as guard:
        guard.observe(0, select=number)
        assert guard.last_score == 0.5


@pytest.mark.parametrize(
    ("select", "options", "message"),
    [
        ("0.5", {}, "select is '0.5'; expected a number"),
        (None, {}, "select is None"),
        (0.5 + 0j, {}, "expected a number"),
        ({"a": 0.5}, {}, "expected a number"),
        (np.array([0.5]), {}, "scores per problem need n"),
        ([1, float("nan"), 2], {"n": 4}, "found nan"),
        ([5, 2], {"n": 4}, "found 5"),
        (0.5, {"n": 0}, "at least 1 sample"),
        (0.5, {"standard_error": float("inf")}, "standard_error is inf"),
    ],
)
def test_what_is_no_score_is_one_line(select: Any, options: Any, message: str, tmp_path: Path) -> None:
    with Guard(tmp_path) as guard, pytest.raises(InputError, match=message):
        guard.observe(0, select=select, **options)


@pytest.mark.parametrize(
    ("name", "larger"),
    [
        ("eval_val_loss", False), ("eval_perplexity", False), ("eval_error_rate", False), ("eval_failure_rate", False),
        ("eval_kl_loss", False), ("eval_accuracy_loss", False), ("eval_rewards/accuracies", True),
        ("eval_rewards/margins", True), ("eval_auroc", True), ("eval_recall@10", True), ("eval_hit_rate", True),
        ("eval_acc_norm", True), ("eval_reward_mean", True), ("eval_mean_token_accuracy", True), ("eval_pass@1", True),
    ],
)  # fmt: skip
def test_a_name_tells_the_direction(name: str, larger: bool) -> None:
    assert greater_is_better(name) is larger


@pytest.mark.parametrize(
    "name", ["eval_kl", "eval_entropy", "eval_length", "eval_reward_std", "eval_lossless", "eval_runtime"]
)
def test_a_name_that_tells_nothing_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is a larger value better"):
        greater_is_better(name)


def back(directory: Path, state: dict[str, Any], step: Callable[[int], Any], check: Callable[[], list[Any]]) -> bool:
    """Whether everything is as it was after step 1, once step 3 has rolled back to it."""
    guard = Guard(directory, control=Scripted(BACK), state=state)
    wanted: list[Any] = []
    for number in range(4):
        if number:
            step(number)
        if number == 1:
            wanted = check()
        guard.carry_out(guard.observe(number, select=0.1))
    guard.close()
    return all(torch.equal(a, b) for a, b in zip(wanted, check(), strict=True))


def trained(model: Any, optimizer: Any) -> Callable[[int], None]:
    def step(number: int) -> None:
        optimizer.zero_grad()
        (model(torch.ones(2, 4)) ** 2).sum().backward()
        optimizer.step()

    return step


def test_tied_weights_come_back_and_stay_tied(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
    model[1].weight = model[0].weight
    adam = torch.optim.AdamW(model.parameters())
    assert back(
        tmp_path,
        {"m": model, "o": adam},
        trained(model, adam),
        lambda: [p.detach().clone() for p in model.parameters()],
    )
    assert model[1].weight is model[0].weight


@pytest.mark.parametrize("enabled", [True, False])
def test_a_loss_scaler_goes_back(enabled: bool, tmp_path: Path) -> None:
    model = torch.nn.Linear(4, 4)
    sgd, scaler = torch.optim.SGD(model.parameters(), 0.1), torch.amp.GradScaler("cpu", enabled=enabled)

    def step(number: int) -> None:
        sgd.zero_grad()
        scaler.scale((model(torch.ones(2, 4)) ** 2).sum()).backward()
        scaler.step(sgd)
        scaler.update(2.0**number)

    assert back(
        tmp_path, {"m": model, "o": sgd, "s": scaler}, step,
        lambda: [torch.tensor(scaler.get_scale()), model.weight.detach().clone()],
    )  # fmt: skip


DTYPES = ["float8_e4m3fn", "float8_e5m2", "int8", "uint16", "bool", "float64", "bfloat16"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tensor_of_every_dtype_comes_back(dtype: str, tmp_path: Path) -> None:
    tensor = torch.zeros(3, dtype=getattr(torch, dtype))
    assert back(
        tmp_path, {"t": tensor}, lambda number: tensor.copy_(torch.full((3,), number)), lambda: [tensor.float().clone()]
    )


def test_subclasses_inside_subclasses(tmp_path: Path) -> None:
    kind = pytest.importorskip("torch.testing._internal.two_tensor").TwoTensor
    outer = kind(kind(torch.ones(3), torch.zeros(3)), torch.full((3,), 2.0))

    def step(number: int) -> None:
        outer.a.a.add_(1.0)
        outer.b.mul_(3.0)

    assert back(tmp_path, {"t": outer}, step, lambda: [outer.a.a.clone(), outer.a.b.clone(), outer.b.clone()])


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "sparse": (lambda: torch.eye(3).to_sparse(), "cannot store a torch.sparse_coo tensor"),
    "nested": (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "cannot store a nested tensor"),
    "jagged": (
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
        "cannot store a nested tensor",
    ),
    "masked": (lambda: torch.masked.masked_tensor(torch.ones(2), torch.tensor([True, False])), "MaskedTensor"),
    "lazy": (lambda: torch.nn.LazyLinear(3), "lazy parameter has no values yet"),
    "meta": (lambda: torch.nn.Linear(3, 3, device="meta"), "meta device has no values"),
    "expanded": (lambda: torch.zeros(1).expand(4), "state\\['t'\\]: what was captured cannot be put back"),
    "read-only": (lambda: np.broadcast_to(np.zeros(1), (4,)), "state\\['t'\\]: what was captured cannot be put back"),
    "objects": (lambda: np.array([{}, 1], dtype=object), "dtype object"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_kept_is_refused_when_the_guard_is_made(name: str, tmp_path: Path) -> None:
    make, message = REFUSED[name]
    with pytest.raises((InputError, ConfigError), match=message):
        Guard(tmp_path, state={"t": make()})


@pytest.mark.parametrize("in_memory", [True, False])
def test_an_optimizer_that_has_changed_since_is_never_half_put_back(in_memory: bool, tmp_path: Path) -> None:
    """Its snapshots are from before, and none was taken since: the observation that rolls back meets the change."""
    model = torch.nn.ModuleList([torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)])
    adam = torch.optim.AdamW(model[0].parameters())

    class Keeps1(Scripted):
        def keep(self, state: Any) -> frozenset[int]:
            return frozenset({1} & set(state["steps"]))

    guard = Guard(tmp_path, control=Keeps1(BACK), state={"m": model, "o": adam}, in_memory=in_memory)
    for number in range(4):
        if number == 2:
            adam.add_param_group({"params": list(model[1].parameters())})
        trained(model[0], adam)(number)
        before = model[0].weight.detach().clone()
        if number < 2:
            guard.observe(number, select=[0.1, 0.5][number])
        if number == 3:
            with pytest.warns(CrestfallWarning, match=r"parameter groups of \[2, 2\] here and \[2\] there"):
                guard.carry_out(guard.observe(3, select=0.1))
            assert torch.equal(model[0].weight, before)


L = torch.optim.lr_scheduler
SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "ReduceLROnPlateau": lambda o: L.ReduceLROnPlateau(o, patience=0, factor=0.5, min_lr=1e-3),
    "LinearLR": lambda o: L.LinearLR(o, 0.5, 1.0, 5),
    "ConstantLR": lambda o: L.ConstantLR(o, 0.5, 3),
    "ExponentialLR": lambda o: L.ExponentialLR(o, 0.9),
    "MultiStepLR": lambda o: L.MultiStepLR(o, [2, 5], 0.1),
    "CosineAnnealingWarmRestarts": lambda o: L.CosineAnnealingWarmRestarts(o, 3, eta_min=0.01),
    "SWALR": lambda o: torch.optim.swa_utils.SWALR(o, 0.05, 3),
    "MultiplicativeLR": lambda o: L.MultiplicativeLR(o, lambda step: 0.95),
    "CyclicLR": lambda o: L.CyclicLR(o, 0.01, 0.1, 3),
    "OneCycleLR": lambda o: L.OneCycleLR(o, 0.2, total_steps=20),
    "PolynomialLR": lambda o: L.PolynomialLR(o, 12, 2.0),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_rate_that_is_halved_on_the_way_is_half_of_the_schedule_from_there(name: str, tmp_path: Path) -> None:
    def rates(directory: Path, scale: float) -> list[float]:
        model = torch.nn.Linear(2, 2)
        sgd = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        scheduler = SCHEDULES[name](sgd)
        control = Scripted({3: Decision("continue", learning_rate_scale=scale)})
        seen = []
        with Guard(directory, control=control, state={"m": model, "o": sgd, "s": scheduler}) as guard:
            for number in range(10):
                if number:
                    sgd.step()
                    scheduler.step(*([1.0] if name == "ReduceLROnPlateau" else []))
                seen.append(sgd.param_groups[0]["lr"])
                guard.carry_out(guard.observe(number, select=0.1))
        return seen

    plain, halved = rates(tmp_path / "a", 1.0), rates(tmp_path / "b", 0.5)
    assert halved == pytest.approx([rate * (1.0 if i <= 3 else 0.5) for i, rate in enumerate(plain)])
