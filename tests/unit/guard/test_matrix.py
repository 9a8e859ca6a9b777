"""Optimizers x precisions x schedules x controllers x restart: what a guard puts back is bit for bit what was there."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crestfall import Guard
from crestfall.control.alert import SignificantFall
from crestfall.control.crest import Crest
from crestfall.control.early_stop import EarlyStop
from crestfall.store import statetree
from crestfall.store.checksums import checksums

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:.*lr_scheduler.step:UserWarning")

OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.1, amsgrad=True),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.1),
    "NAdam": lambda p: torch.optim.NAdam(p, lr=0.1),
    "RAdam": lambda p: torch.optim.RAdam(p, lr=0.1),
    "Adamax": lambda p: torch.optim.Adamax(p, lr=0.1),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
    "Adadelta": lambda p: torch.optim.Adadelta(p, lr=0.1),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.1, centered=True, momentum=0.5),
    "Rprop": lambda p: torch.optim.Rprop(p, lr=0.1),
    "ASGD": lambda p: torch.optim.ASGD(p, lr=0.1),
    "Adafactor": lambda p: torch.optim.Adafactor(p, lr=0.1),
}
PRECISIONS = (torch.float32, torch.bfloat16, torch.float64)
SCHEDULES = {
    "none": lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 9, eta_min=0.01),
    "warm-up": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: min(1.0, (step + 1) / 4)),
}
CONTROLLERS = {
    "stop": EarlyStop(patience=2),
    "back": EarlyStop(patience=2, then="go_on"),
    "fall": SignificantFall(),
    "crest": Crest(),
}
SCORES = [0.1, 0.4, 0.9, 0.2, 0.1]
PEAK = 2
CASES = list(itertools.product(OPTIMIZERS, SCHEDULES, CONTROLLERS))


def made(optimizer: str, schedule: str, dtype: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2)).to(dtype)
    rule = OPTIMIZERS[optimizer](model.parameters())
    return {"model": model, "optimizer": rule, "scheduler": SCHEDULES[schedule](rule)}


def train(state: dict[str, Any], step: int) -> None:
    state["optimizer"].zero_grad()
    inputs = torch.arange(6.0).reshape(2, 3).to(next(state["model"].parameters()).dtype) / (step + 1)
    (state["model"](inputs) ** 2).mean().backward()
    state["optimizer"].step()
    state["scheduler"].step()


def bits(state: dict[str, Any], *, rate: bool = True) -> tuple[Any, Any]:
    """Everything there is, to be compared; `rate`: the learning rate and what it is worked out from as well."""
    tree = {name: item.state_dict() for name, item in state.items()}
    if not rate:
        del tree["scheduler"]
        tree["optimizer"] = {"state": tree["optimizer"]["state"]}
    packed = statetree.look(tree)
    return packed.skeleton, checksums(packed.leaves)


def at_the_peak(optimizer: str, schedule: str, dtype: Any) -> dict[str, Any]:
    state = made(optimizer, schedule, dtype)
    for step in range(1, PEAK + 1):
        train(state, step)
    return state


def guarded(directory: Path, state: dict[str, Any], control: Any, first: int, last: int) -> Iterator[str]:
    """Observe steps from `first` on; the actions, until the first that is one."""
    with Guard(directory, control=control, state=state, in_memory=False) as guard:
        for step in range(first, last):
            if step:
                train(state, step)
            decision = guard.observe(step, select=SCORES[step], n=480)
            guard.carry_out(decision)
            yield decision.action
            if decision.action != "continue":
                return


def _quick(case: tuple[str, str, str]) -> bool:
    return case in (("AdamW", "cosine", "stop"), ("AdamW", "warm-up", "crest"), ("SGD", "cosine", "back"))


@pytest.mark.parametrize("restart", [False, True], ids=["one process", "restarted"])
@pytest.mark.parametrize(
    ("optimizer", "schedule", "controller"),
    [pytest.param(*case, id="-".join(case), marks=() if _quick(case) else pytest.mark.slow) for case in CASES],
)
def test_what_is_put_back_is_what_was_there(
    tmp_path: Path, optimizer: str, schedule: str, controller: str, restart: bool
) -> None:
    for dtype in PRECISIONS:
        state, directory = made(optimizer, schedule, dtype), tmp_path / str(dtype)
        first = 0
        if restart:  # a process that dies after the peak; the next one has its own checkpoint of the last step
            assert set(guarded(directory, state, CONTROLLERS[controller], 0, PEAK + 1)) == {"continue"}
            first = PEAK + 1
        actions = list(guarded(directory, state, CONTROLLERS[controller], first, len(SCORES)))
        assert actions[-1] in ("stop", "rollback")
        halved = controller == "crest"
        assert bits(state, rate=not halved) == bits(at_the_peak(optimizer, schedule, dtype), rate=not halved)


def test_the_matrix_is_large() -> None:
    assert len(CASES) * len(PRECISIONS) * 2 >= 200
