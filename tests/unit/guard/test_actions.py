"""Decisions that change how training goes on: another learning rate, a forgotten optimizer, averaged weights."""

from pathlib import Path
from typing import Any

import pytest

from crestfall import Guard
from crestfall.control.early_stop import EarlyStop
from crestfall.core.errors import CrestfallWarning
from crestfall.core.types import Decision

torch = pytest.importorskip("torch")


class Scripted(EarlyStop):
    """Says what it is told to say, and keeps every step."""

    def __init__(self, script: dict[int, Decision], last: Decision | None = None) -> None:
        super().__init__()
        object.__setattr__(self, "script", script)
        object.__setattr__(self, "said_last", last)

    def init(self) -> Any:
        return {"steps": []}

    def decide(self, state: Any, record: Any) -> Any:
        return {"steps": [*state["steps"], record.step]}, self.script.get(record.step, Decision("continue"))

    def keep(self, state: Any) -> frozenset[int]:
        return frozenset(state["steps"])

    def last(self, state: Any, step: int) -> Decision:
        return self.said_last or Decision("stop", step, "used up")


def parts(optimizer: Any = torch.optim.AdamW, **options: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    made = optimizer(model.parameters(), lr=0.1, **options)
    return {"model": model, "optimizer": made, "scheduler": torch.optim.lr_scheduler.StepLR(made, 1, 0.9)}


def train(state: dict[str, Any]) -> None:
    state["optimizer"].zero_grad()
    (state["model"](torch.ones(2, 3)) ** 2).sum().backward()
    state["optimizer"].step()
    state["scheduler"].step()


def run(
    directory: Path, script: dict[int, Decision], steps: int = 3, **options: Any
) -> tuple[Guard, dict[str, Any], list[Any]]:
    """Train and observe; returns the weights after each step, before its decision."""
    state = parts()
    last = options.pop("last", None)
    guard = Guard(directory, control=Scripted(script, last), state=state, max_snapshots=4, **options)
    seen = []
    for step in range(steps + 1):
        if step:
            train(state)
        seen.append(state["model"].weight.detach().clone())
        guard.carry_out(guard.observe(step, select=0.1 * step))
    return guard, state, seen


def test_a_learning_rate_is_raised_without_a_rollback_and_stays_so_after_one(tmp_path: Path) -> None:
    script = {1: Decision("continue", learning_rate_scale=1.5), 3: Decision("rollback", 0, "", {}, 0.25)}
    guard, state, seen = run(tmp_path, {1: script[1]}, steps=2)
    assert guard.learning_rate_scale == 1.5
    assert state["optimizer"].param_groups[0]["lr"] == pytest.approx(0.1 * 0.9**2 * 1.5)
    guard, state, seen = run(tmp_path / "b", script)
    assert torch.equal(state["model"].weight, seen[0])
    assert state["optimizer"].param_groups[0]["lr"] == pytest.approx(0.1 * 1.5 * 0.25)
    assert state["scheduler"].base_lrs == [pytest.approx(0.1 * 1.5 * 0.25)]


def test_a_rate_survives_a_restart(tmp_path: Path) -> None:
    guard, state, _ = run(tmp_path, {1: Decision("continue", learning_rate_scale=1.5)})
    guard.close()
    again = Guard(tmp_path, control=Scripted({}), state=state)
    assert again.learning_rate_scale == 1.5


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_mean_of_kept_steps_takes_the_place_of_the_weights(tmp_path: Path, in_memory: bool) -> None:
    script = {3: Decision("continue", average=(1, 2, 3))}
    _, state, seen = run(tmp_path, script, in_memory=in_memory)
    assert torch.allclose(state["model"].weight, (seen[1] + seen[2] + seen[3]) / 3, atol=1e-6)
    moments = [s["step"] for s in state["optimizer"].state.values()]
    assert moments == [3, 3]
    assert state["scheduler"].last_epoch == 3


def test_a_rollback_to_a_mean_brings_back_the_target_s_optimizer(tmp_path: Path) -> None:
    calls: list[str] = []
    script = {3: Decision("rollback", 1, "", average=(0, 1))}
    _, state, seen = run(tmp_path, script, on_rollback=[lambda: calls.append("emptied")])
    assert torch.allclose(state["model"].weight, (seen[0] + seen[1]) / 2, atol=1e-6)
    assert [s["step"] for s in state["optimizer"].state.values()] == [1, 1]
    assert calls == ["emptied"]


def test_a_mean_is_handed_on_at_the_end(tmp_path: Path) -> None:
    guard, state, seen = run(tmp_path, {}, last=Decision("stop", 3, "used up", average=(2, 3)))
    assert guard.carry_out(guard.finish())
    assert torch.allclose(state["model"].weight, (seen[2] + seen[3]) / 2, atol=1e-6)


def test_a_step_that_is_not_kept_is_left_out_of_a_mean_and_said_to_be(tmp_path: Path) -> None:
    guard, state, seen = run(tmp_path, {3: Decision("continue", average=(2, 3, 77))})
    assert "left out of the mean, since no snapshot is kept: step 77" in guard.decision.reason
    assert torch.allclose(state["model"].weight, (seen[2] + seen[3]) / 2, atol=1e-6)


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9},
    "AdamW": {"amsgrad": True},
    "Adam": {},
    "Adamax": {},
    "NAdam": {},
    "RAdam": {},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "Rprop": {},
    "Adagrad": {"initial_accumulator_value": 0.5},
    "Adadelta": {},
    "ASGD": {},
    "Adafactor": {},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_that_is_forgotten_goes_on_like_a_new_one(tmp_path: Path, name: str) -> None:
    kind = getattr(torch.optim, name)
    state = parts(kind, **OPTIMIZERS[name])
    guard = Guard(tmp_path, control=Scripted({3: Decision("continue", forget_optimizer=True)}), state=state)
    for step in range(4):
        if step:
            train(state)
        guard.carry_out(guard.observe(step, select=0.1))
    fresh = parts(kind, **OPTIMIZERS[name])
    fresh["model"].load_state_dict(state["model"].state_dict())
    fresh["optimizer"].param_groups[0]["lr"] = state["optimizer"].param_groups[0]["lr"]
    train(state)
    fresh["optimizer"].zero_grad()
    (fresh["model"](torch.ones(2, 3)) ** 2).sum().backward()
    fresh["optimizer"].step()
    assert torch.equal(state["model"].weight, fresh["model"].weight)


def test_rollback_and_forget_go_together(tmp_path: Path) -> None:
    _, state, seen = run(tmp_path, {3: Decision("rollback", 2, "", {}, 0.25, forget_optimizer=True)})
    assert torch.equal(state["model"].weight, seen[2])
    assert not state["optimizer"].state


def test_what_is_not_within_reach_is_said(tmp_path: Path) -> None:
    weights = torch.ones(2)
    actions = Decision("continue", learning_rate_scale=2.0, forget_optimizer=True, average=(0, 1))
    guard = Guard(tmp_path, control=Scripted({1: actions}), capture=lambda: {"w": weights}, restore=lambda tree: None)
    guard.observe(0, select=0.1)
    with pytest.warns(CrestfallWarning) as said:
        assert not guard.carry_out(guard.observe(1, select=0.2))
    text = " ".join(str(w.message) for w in said)
    assert all(
        words in text for words in ("averages weights", "resets the optimizer", "multiplies the learning rate by 2")
    )


def test_a_guard_that_only_decides_says_what_to_do(tmp_path: Path) -> None:
    guard = Guard(tmp_path, control=Scripted({0: Decision("continue", learning_rate_scale=1.5)}))
    with pytest.warns(CrestfallWarning, match=r"only decides: your loop has to carry out learning rate x 1\.5"):
        assert not guard.carry_out(guard.observe(0, select=0.1))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_is_multiplied_by_a_positive_number(scale: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Decision("continue", learning_rate_scale=scale)


def test_a_decision_survives_its_journal() -> None:
    for decision in (
        Decision("continue", None, "why", {"a": 1.0}, 1.5, True, (1, 2)),
        Decision("stop", 3, average=(2, 3)),
        Decision("rollback", 0, "", {}, 0.5),
    ):
        assert Decision.from_json(decision.to_json()) == decision
    with pytest.raises(ValueError, match="stop"):
        Decision("stop", 3, forget_optimizer=True)


HALF = Decision("continue", reason="slower", learning_rate_scale=0.5)


@pytest.mark.parametrize(
    "decision",
    [
        HALF,
        Decision("rollback", 1, "back", learning_rate_scale=0.5),
        Decision("rollback", 1, "back", learning_rate_scale=0.5, average=(1, 2)),
    ],
)
@pytest.mark.parametrize("schedule", ["back", "on"])
def test_a_decision_carried_out_twice_or_before_the_end_counts_once(
    decision: Decision, schedule: Any, tmp_path: Path
) -> None:
    guard, state, _ = run(tmp_path, {3: decision}, schedule=schedule)
    once = state["optimizer"].param_groups[0]["lr"], state["model"].weight.detach().clone()
    guard.carry_out(guard.decision)
    assert state["optimizer"].param_groups[0]["lr"] == once[0]
    assert torch.equal(state["model"].weight, once[1])
    if decision.action == "continue":
        assert guard.carry_out(guard.finish())
        assert state["optimizer"].param_groups[0]["lr"] == once[0]


def test_the_last_step_comes_back_though_training_went_on_unobserved(tmp_path: Path) -> None:
    guard, state, seen = run(tmp_path, {})
    train(state)
    assert guard.carry_out(guard.finish())
    assert torch.equal(state["model"].weight, seen[3])
