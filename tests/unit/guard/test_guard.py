"""The guard decides as its controller does, keeps the right snapshots, and puts them back exactly."""

import json
import random
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crestfall
from crestfall import Guard
from crestfall.control.early_stop import EarlyStop
from crestfall.core.errors import ConfigError, CrestfallWarning, InputError, RunDirectoryError
from crestfall.core.types import Decision
from crestfall.store import statetree

torch = pytest.importorskip("torch")

RISE_AND_FALL = [0.2, 0.4, 0.5, 0.3, 0.2, 0.1]


def numpy_guard(directory: Path, **options: Any) -> tuple[Guard, np.ndarray]:
    weights = np.zeros(3)
    return Guard(directory, state={"w": weights}, **options), weights


def run(guard: Guard, weights: np.ndarray, values: list[float], start: int = 0) -> Decision:
    """Observe values one step after the other; at step t all weights are t. Ends at the first action."""
    decision = Decision("continue")
    for step, value in enumerate(values, start):
        weights[:] = step
        decision = guard.observe(step, select=value)
        if guard.carry_out(decision):
            break
    return decision


def test_stops_past_the_peak_and_puts_the_peak_back(tmp_path: Path) -> None:
    guard, weights = numpy_guard(tmp_path)
    decision = run(guard, weights, RISE_AND_FALL)
    assert (decision.action, decision.target_step) == ("stop", 2)
    assert weights.tolist() == [2, 2, 2]
    assert guard.best is not None
    assert (guard.best.step, guard.best.value) == (2, 0.5)


def adam_run(steps: int) -> tuple[Any, Any, Any]:
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9)
    for _ in range(steps):
        adam_step(model, optimizer, scheduler)
    return model, optimizer, scheduler


def adam_step(model: Any, optimizer: Any, scheduler: Any) -> None:
    optimizer.zero_grad()
    (model(torch.ones(2, 4)) ** 2).sum().backward()
    optimizer.step()
    scheduler.step()


@pytest.mark.parametrize("in_memory", [True, False])
def test_rollback_restores_weights_adam_and_schedule_bit_for_bit_and_again(tmp_path: Path, in_memory: bool) -> None:
    model, optimizer, scheduler = adam_run(0)
    state = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    guard = Guard(tmp_path, control=EarlyStop(margin=1, then="go_on"), state=state, in_memory=in_memory)
    rolled_back = []
    for step, value in enumerate([0.1, 0.2, 0.5, 0.3, 0.4, 0.3]):
        if step:
            adam_step(model, optimizer, scheduler)
        decision = guard.observe(step, select=value)
        assert not guard.carry_out(decision)
        if decision.action == "rollback":
            assert decision.target_step == 2
            rolled_back.append(step)
            peak = adam_run(2)
            assert all(map(torch.equal, model.parameters(), peak[0].parameters()))
            assert statetree.pack(optimizer.state_dict()).skeleton == statetree.pack(peak[1].state_dict()).skeleton
            for mine, theirs in zip(optimizer.state.values(), peak[1].state.values(), strict=True):
                assert mine["step"] == theirs["step"] == 2
                assert torch.equal(mine["exp_avg"], theirs["exp_avg"])
                assert torch.equal(mine["exp_avg_sq"], theirs["exp_avg_sq"])
            assert scheduler.state_dict() == peak[2].state_dict()
    # The second time proves that training on did not write into the snapshot.
    assert len(rolled_back) >= 2


class Slower(EarlyStop):
    """Back at the first fall, each time with half the learning rate."""

    def decide(self, state: Any, record: Any) -> Any:
        state, decision = super().decide(state, record)
        return state, replace(decision, learning_rate_scale=0.5 if decision.action == "rollback" else 1.0)


SLOWER = Slower(margin=1, then="go_on")


@pytest.mark.parametrize("restart", [False, True])
def test_a_learning_rate_stays_reduced_whatever_is_put_back(tmp_path: Path, restart: bool) -> None:
    """The snapshot of the peak is older than the first rollback and has the full rate in it."""
    model, optimizer, scheduler = adam_run(0)
    state = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    guard = Guard(tmp_path, control=SLOWER, state=state)
    rates = []
    for step, value in enumerate([0.1, 0.5, 0.3, 0.4, 0.6, 0.2]):
        if restart:
            guard.close()
            guard = Guard(tmp_path, control=SLOWER, state=state)
        if step:
            adam_step(model, optimizer, scheduler)
        guard.carry_out(guard.observe(step, select=value))
        rates.append((optimizer.param_groups[0]["lr"], scheduler.base_lrs[0], scheduler.get_last_lr()[0]))
    # 0.1 falls by a tenth a step. Back to step 1 twice, on to a better step 4 from there, and back to that.
    expected = [0.1, 0.09, 0.09 / 2, 0.09 / 4, 0.081 / 4, 0.081 / 8]
    assert [rate for rate, _, _ in rates] == pytest.approx(expected)
    assert [last for _, _, last in rates] == pytest.approx(expected)
    assert [base for _, base, _ in rates] == pytest.approx([0.1, 0.1, 0.05, 0.025, 0.025, 0.0125])
    guard.carry_out(guard.finish())
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.081 / 8)


SCHEDULES = {
    "step": lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.5),
    "lambda": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 12),
    "one cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.2, 12),
    "cyclic": lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.01, 0.1, 3, cycle_momentum=False),
    "polynomial": lambda o: torch.optim.lr_scheduler.PolynomialLR(o, 12),
    "warm-up, then cosine": lambda o: torch.optim.lr_scheduler.SequentialLR(
        o,
        [torch.optim.lr_scheduler.LinearLR(o, 0.1, 1.0, 5), torch.optim.lr_scheduler.CosineAnnealingLR(o, 7)],
        [5],
    ),
    "chained": lambda o: torch.optim.lr_scheduler.ChainedScheduler(
        [torch.optim.lr_scheduler.ConstantLR(o, 0.5, 5), torch.optim.lr_scheduler.ExponentialLR(o, 0.9)]
    ),
}


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_a_schedule_goes_on_as_ever_with_half_of_every_rate(tmp_path: Path, kind: str) -> None:
    def rates(directory: Path | None) -> list[float]:
        """After every step; back at step 3 to step 2 where a guard looks."""
        model = torch.nn.Linear(4, 4)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        state = {"optimizer": optimizer, "scheduler": SCHEDULES[kind](optimizer)}
        guard = None if directory is None else Guard(directory, control=SLOWER, state=state)
        out = []
        for step in range(1, 11):
            adam_step(model, optimizer, state["scheduler"])
            if guard is not None:
                guard.carry_out(guard.observe(step, select=step / 100 if step != 3 else 0.0))
            out.append(optimizer.param_groups[0]["lr"])
        return out

    whole, slowed = rates(None), rates(tmp_path)
    assert slowed[:2] == whole[:2]
    assert slowed[2:] == pytest.approx([rate / 2 for rate in whole[1:9]])


def test_a_rate_out_of_reach_is_said_and_ends_no_run(tmp_path: Path) -> None:
    for i, options in enumerate(({"state": {"w": np.zeros(1)}}, {"capture": dict, "restore": lambda _: None})):
        guard = Guard(tmp_path / str(i), control=SLOWER, **options)
        guard.carry_out(guard.observe(0, select=0.5))
        with pytest.warns(CrestfallWarning, match=r"multiplies the learning rate by 0\.5"):
            assert not guard.carry_out(guard.observe(1, select=0.1))
    factors: list[float] = []
    own = {"capture": dict, "restore": lambda _: None, "scale_learning_rate": factors.append}
    guard = Guard(tmp_path / "own", control=SLOWER, **own)
    for step, value in enumerate((0.5, 0.4, 0.3)):
        guard.carry_out(guard.observe(step, select=value))
    assert factors == [0.5, 0.25]


def test_counts_and_a_mean_give_the_controller_their_noise(tmp_path: Path) -> None:
    seen = []

    @dataclass(frozen=True)
    class Watch(EarlyStop):
        def decide(self, state: Any, record: Any) -> Any:
            seen.append(record)
            return super().decide(state, record)

    guard = Guard(tmp_path, control=Watch())
    guard.observe(0, select=[0, 8, 16, 4], n=16, report=0.9, entropy=1.5, kl_base=None, grad_norm=float("inf"))
    guard.observe(1, select=np.array([16, 16]), n=16)
    guard.observe(2, select=0.25, n=400)
    counts, _, mean = seen
    assert (counts.value, counts.counts_P, counts.n) == (28 / 64, (0, 8, 16, 4), 16)
    assert counts.standard_error == pytest.approx(np.sqrt((0.25 + 0.1875) / 16) / 4)
    assert counts.signals == {"entropy": 1.5}
    assert mean.standard_error == pytest.approx(np.sqrt(0.25 * 0.75 / 400), rel=0.01)
    lines = [json.loads(line) for line in (tmp_path / "observations.jsonl").read_text().splitlines()]
    assert lines[0]["report"] == 0.9
    assert [line["n"] for line in lines] == [64, 32, 400]  # samples behind the score, all told
    assert "report" not in counts.signals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"select": float("nan")}, "select is nan"),
        ({"select": 3.0, "n": 10}, "give standard_error"),
        ({"select": [1, 2]}, "need n"),
        ({"select": 0.5, "report": float("nan")}, "report is nan"),
        ({"select": [17], "n": 16}, "between 0 and n"),
        ({"select": 0.5, "reason": 1.0}, "cannot be called 'reason'"),
    ],
)
def test_a_score_that_is_none_is_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Guard(tmp_path).observe(0, **arguments)


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="both or neither"):
        Guard(tmp_path, capture=dict)
    with pytest.raises(ConfigError, match="either"):
        Guard(tmp_path, state={}, capture=dict, restore=print)
    with pytest.raises(ConfigError, match=r"state\['epoch'\]: a int has no state_dict"):
        Guard(tmp_path, state={"epoch": 3})
    with pytest.raises(ConfigError, match="did you mean 'early_stop'"):
        Guard(tmp_path, control="early_stopp")
    with pytest.raises(ConfigError, match="max_snapshots"):
        Guard(tmp_path, max_snapshots=0)


def test_a_step_is_observed_once(tmp_path: Path) -> None:
    guard, _ = numpy_guard(tmp_path)
    guard.observe(3, select=0.1)
    with pytest.raises(ConfigError, match="does not come after step 3"):
        guard.observe(3, select=0.2)


def test_the_budget_used_up_hands_on_the_peak(tmp_path: Path) -> None:
    guard, weights = numpy_guard(tmp_path)
    run(guard, weights, [0.2, 0.5, 0.3])
    assert guard.carry_out(guard.finish())
    assert weights.tolist() == [1, 1, 1]
    none, weights = numpy_guard(tmp_path / "none", control="none")
    run(none, weights, [0.2, 0.5, 0.3])
    assert none.carry_out(none.finish())
    assert weights.tolist() == [2, 2, 2]
    assert none.best is not None
    assert none.best.step == 1


# --- restarts ---------------------------------------------------------------------------------------------------------


def test_a_restarted_run_decides_as_an_undisturbed_one(tmp_path: Path) -> None:
    undisturbed = run(*numpy_guard(tmp_path / "a"), RISE_AND_FALL)
    guard, weights = numpy_guard(tmp_path / "b")
    run(guard, weights, RISE_AND_FALL[:4])
    guard.close()
    again, weights = numpy_guard(tmp_path / "b")
    assert again.last_step == 3
    decision = run(again, weights, RISE_AND_FALL[2:], start=2)  # its own last checkpoint was that of step 1
    assert decision == undisturbed
    assert weights.tolist() == [2, 2, 2]


def test_the_best_of_a_dead_attempt_is_neither_lost_nor_passed_over(tmp_path: Path) -> None:
    guard, weights = numpy_guard(tmp_path)
    run(guard, weights, [0.2, 0.3, 0.9, 0.8])
    guard.close()
    again, weights = numpy_guard(tmp_path)
    decision = run(again, weights, [0.3, 0.5, 0.4, 0.3, 0.2], start=1)  # this time it goes another way
    assert decision.action == "stop"
    assert decision.target_step == 2
    assert "a better one is kept from before a restart: step 2 (0.900)" in decision.reason
    assert weights.tolist() == [2, 2, 2]
    assert len(list((tmp_path / "snapshots").iterdir())) <= 2


def test_a_new_run_in_a_used_directory_is_told(tmp_path: Path) -> None:
    guard, weights = numpy_guard(tmp_path)
    run(guard, weights, [0.2, 0.3])
    guard.close()
    again, _ = numpy_guard(tmp_path)
    with pytest.warns(CrestfallWarning, match="a new run needs a directory of its own"):
        again.observe(0, select=0.2)


def test_what_no_guard_wrote_is_refused(tmp_path: Path) -> None:
    (tmp_path / "observations.jsonl").write_text('{"id": 0, "step": 0}\n')
    with pytest.raises(InputError, match=r"observations.jsonl:1: not an observation"):
        Guard(tmp_path)


# --- disk -------------------------------------------------------------------------------------------------------------


def test_disk_use_is_bounded(tmp_path: Path) -> None:
    """Whatever a controller asks for: it is given the best ones."""

    @dataclass(frozen=True)
    class Greedy(EarlyStop):
        margin: int = 100

        def keep(self, state: Any) -> frozenset[int]:
            return frozenset(range(100))

    guard, weights = numpy_guard(tmp_path, control=Greedy(), max_snapshots=2)
    values = [0.1, 0.5, 0.3, 0.7, 0.2, 0.4]
    most = 0
    for step, value in enumerate(values):
        weights[:] = step
        guard.observe(step, select=value)
        most = max(most, len(list(tmp_path.glob("snapshots/*"))))
    guard.flush()
    assert most <= 3  # two, and one being written
    assert sorted(path.name[-1] for path in (tmp_path / "snapshots").iterdir()) == ["1", "3"]


def test_a_full_disk_costs_a_warning_and_not_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard, weights = numpy_guard(tmp_path)
    run(guard, weights, [0.2, 0.5])
    guard.flush()
    write = statetree.write

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(statetree, "write", full)
    weights[:] = 2
    guard.observe(2, select=0.8)
    with pytest.warns(CrestfallWarning, match="disk is full"):
        guard.flush()
    assert guard.best is not None
    assert (guard.best.step, guard.best.path) == (2, None)  # in memory
    assert [p.name for p in (tmp_path / "snapshots").iterdir()] == ["000001-step-1"]  # the best that is on disk

    # Killed now, the run comes back to the best that the disk holds ...
    shutil.copytree(tmp_path, tmp_path.with_name("killed"))
    other, _ = numpy_guard(tmp_path.with_name("killed"))
    assert other.best is not None
    assert other.best.step == 1
    other.close()
    # ... and once there is room, what waited in memory is written.
    monkeypatch.setattr(statetree, "write", write)
    guard.observe(3, select=0.1)
    guard.flush()
    assert [p.name for p in (tmp_path / "snapshots").iterdir()] == ["000002-step-2"]


def test_a_target_without_a_snapshot_is_replaced_by_the_best_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard, weights = numpy_guard(tmp_path, in_memory=False)
    run(guard, weights, [0.2, 0.5])
    guard.flush()
    with monkeypatch.context() as patched:
        patched.setattr(statetree, "write", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        guard.observe(2, select=0.8)
        with pytest.warns(CrestfallWarning, match="cannot be written"):
            guard.flush()
    decision = run(guard, weights, [0.3, 0.2, 0.1], start=3)
    assert decision.target_step == 1
    assert "no snapshot of step 2 is kept: step 1 (0.500) takes its place" in decision.reason
    assert weights.tolist() == [1, 1, 1]


def test_an_unwritable_directory_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match="file"):
        Guard(tmp_path / "file" / "guard")


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_notify_hears_of_actions_and_cannot_kill_the_run(tmp_path: Path) -> None:
    heard = []

    def broken(decision: Decision, step: int) -> None:
        raise RuntimeError("no network")

    guard, weights = numpy_guard(
        tmp_path, notify=[lambda decision, step: heard.append((step, decision.action)), broken]
    )
    with pytest.warns(CrestfallWarning, match="no network"):
        run(guard, weights, RISE_AND_FALL)
    assert heard == [(5, "stop")]


def test_only_the_last_decision_can_be_carried_out(tmp_path: Path) -> None:
    guard, _ = numpy_guard(tmp_path)
    old = guard.observe(0, select=0.1)
    guard.observe(1, select=0.2)
    with pytest.raises(ConfigError, match="last decision"):
        guard.carry_out(old)


def test_explicit_capture_and_restore(tmp_path: Path) -> None:
    live = {"w": [1, 2], "lr": 0.1}

    def restore(tree: Any) -> None:
        live.clear()
        live.update(tree)

    guard = Guard(tmp_path, control=EarlyStop(margin=1), capture=lambda: live, restore=restore)
    guard.observe(0, select=0.5)
    live["w"] = [9]
    assert guard.carry_out(guard.observe(1, select=0.4))
    assert live == {"w": [1, 2], "lr": 0.1}


def test_global_rng_returns(tmp_path: Path) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(()))  # noqa: NPY002

    generator = np.random.default_rng(0)
    state = {"rng": crestfall.GlobalRng(), "own": generator}
    guard = Guard(tmp_path, control=EarlyStop(margin=1), state=state, in_memory=False)
    guard.observe(0, select=0.5)
    first, own = draw(), generator.random()
    assert guard.carry_out(guard.observe(1, select=0.4))
    assert (draw(), generator.random()) == (first, own)
