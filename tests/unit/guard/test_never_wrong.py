"""What silently ruined a run once: each is kept exactly, read right, or refused in one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crestfall import Guard, WeightAverage
from crestfall.control.early_stop import EarlyStop
from crestfall.core.errors import ConfigError, CrestfallWarning, InputError
from crestfall.guard.scores import greater_is_better
from crestfall.store import statetree

torch = pytest.importorskip("torch")

BACK = EarlyStop(patience=1, then="go_on")


class Halves(torch.Tensor):
    """A wrapper subclass as quantised weights are: no storage of its own, two tensors and a word inside."""

    @staticmethod
    def __new__(cls, values: Any, scale: Any, kind: str = "int8") -> Any:
        return torch.Tensor._make_wrapper_subclass(cls, values.shape, dtype=torch.float32)

    def __init__(self, values: Any, scale: Any, kind: str = "int8") -> None:
        self.values, self.scale, self.kind = values, scale, kind

    def __tensor_flatten__(self) -> Any:
        return ["values", "scale"], {"kind": self.kind, "dtype": torch.int8, "block": torch.Size([1, 64])}

    @classmethod
    def __tensor_unflatten__(cls, parts: Any, context: Any, size: Any, stride: Any) -> Any:
        assert context["dtype"] is torch.int8
        return cls(parts["values"], parts["scale"], context["kind"])

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.ops.aten.detach.default:
            return args[0]
        raise NotImplementedError(function)


class Hollow(Halves):
    """The same without a way to take it apart."""

    __tensor_flatten__ = None


del Hollow.__tensor_flatten__


def halves(seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(-128, 127, (4, 4), dtype=torch.int8, generator=generator)
    return Halves(values, torch.rand(4, 1, generator=generator))


@pytest.mark.parametrize("on_disk", [False, True])
def test_tensors_without_storage_are_kept_one_by_one(on_disk: bool, tmp_path: Path) -> None:
    tree = {"a": halves(1), "b": halves(2)}
    packed = statetree.pack(tree)
    if on_disk:
        statetree.write(packed, tmp_path / "state")
        packed = statetree.read(tmp_path / "state")
    back = statetree.unpack(packed)
    for name, item in tree.items():
        assert type(back[name]) is Halves
        assert (torch.equal(back[name].values, item.values), torch.equal(back[name].scale, item.scale)) == (True, True)


def test_what_cannot_be_kept_is_refused_when_the_guard_is_made(tmp_path: Path) -> None:
    class Holder:
        def state_dict(self) -> dict[str, Any]:
            return {"w": torch.zeros(3, device="meta")}

        def load_state_dict(self, state: Any) -> None: ...

    with pytest.raises(InputError, match=r"m\.w: a tensor on the meta device has no values"):
        Guard(tmp_path, state={"m": Holder()})


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e4m3fn, torch.float8_e8m0fnu, torch.uint32])
def test_dtypes_of_every_kind_come_back(dtype: Any, tmp_path: Path) -> None:
    tensor = torch.randint(0, 255, (3, 16), dtype=torch.uint8).view(dtype)
    statetree.write(statetree.pack({"x": tensor}), tmp_path / "state")
    back = statetree.unpack(statetree.read(tmp_path / "state"))["x"]
    assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
    assert torch.equal(back.view(torch.uint8), tensor.view(torch.uint8))


def test_float32_moments_of_bfloat16_weights_stay_float32(tmp_path: Path) -> None:
    """torch's load_state_dict casts them."""
    weight = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    moment = torch.tensor([1 / 3, 1 / 7, 1 / 9, 1 / 11])
    optimizer.state[weight]["momentum_buffer"] = moment.clone()
    guard = Guard(tmp_path, control=BACK, state={"w": weight, "o": optimizer})
    guard.observe(0, select=0.5)
    optimizer.state[weight]["momentum_buffer"] = torch.zeros(4)
    guard.carry_out(guard.observe(1, select=0.1))
    assert torch.equal(optimizer.state[weight]["momentum_buffer"], moment)


# --- scores -----------------------------------------------------------------------------------------------------------


def seen(directory: Path, **arguments: Any) -> dict[str, Any]:
    with Guard(directory) as guard:
        guard.observe(arguments.pop("step", 0), **arguments)
    line: dict[str, Any] = json.loads((directory / "observations.jsonl").read_text())
    return line


NUMBERS = [float, np.float32, np.float64, torch.tensor, lambda x: torch.tensor(x, dtype=torch.bfloat16)]


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_every_library_are_numbers(kind: Any, tmp_path: Path) -> None:
    line = seen(
        tmp_path,
        step=kind(2.0),
        select=kind(0.25),
        n=kind(480.0),
        report=kind(0.5),
        entropy=kind(1.5),
        kl_base=kind(0.0),
    )
    assert (line["step"], line["select"], line["n"], line["report"], line["entropy"]) == (2, 0.25, 480, 0.5, 1.5)


@pytest.mark.parametrize(
    "scores", [[4, 8, 12], [0.25, 0.5, 0.75], np.array([4, 8, 12]), torch.tensor([0.25, 0.5, 0.75]), (4.0, 8.0, 12.0)]
)
def test_pass_rates_are_counts(scores: Any, tmp_path: Path) -> None:
    assert seen(tmp_path, select=scores, n=16)["passed"] == [4, 8, 12]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"select": [15.9, 3.2], "n": 16}, "neither a count"),
        ({"select": [0.3, 0.5], "n": 16}, "not a count of n=16"),
        ({"select": [0.0, 1.0], "n": 16}, "counts of n=16 samples or rates"),
        ({"select": 35.0, "n": 480}, "not a share of n samples"),
        ({"select": 0.5, "entropy": "high"}, "entropy is 'high'; expected a number"),
        ({"select": 0.5, "standard_error": -1.0}, "standard_error is -1"),
        ({"select": 0.5, "step": 1.5}, "expected a whole number"),
        ({"select": "0.5"}, "expected a number"),
    ],
)
def test_what_could_mean_two_things_is_refused(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        seen(tmp_path, **arguments)


@pytest.mark.parametrize(
    ("metric", "larger"),
    [
        ("eval_loss", False), ("eval_perplexity", False), ("wer", False), ("eval/nll", False), ("eval_reward", True),
        ("eval_accuracy", True), ("pass@1", True), ("val-core/x/acc/mean@8", True), ("eval_rouge1", True),
    ],
)  # fmt: skip
def test_a_metrics_name_says_which_way_is_up(metric: str, larger: bool) -> None:
    assert greater_is_better(metric) is larger
    assert greater_is_better(metric, not larger) is not larger


def test_a_name_that_leaves_it_open_is_refused() -> None:
    with pytest.raises(ConfigError, match="greater_is_better=True or False"):
        greater_is_better("eval_kl")


def test_a_loss_is_minimised(tmp_path: Path) -> None:
    weights = np.zeros(1)
    guard = Guard(tmp_path, control=EarlyStop(patience=2), state={"w": weights}, greater_is_better=False)
    for step, loss in enumerate([3.0, 1.0, 2.0, 2.5]):
        weights[:] = step
        done = guard.carry_out(guard.observe(step, select=loss))
    assert done
    assert weights[0] == 1
    assert json.loads((tmp_path / "observations.jsonl").read_text().splitlines()[0])["score"] == 3.0


def test_a_mean_without_n_says_what_cannot_be_seen(tmp_path: Path) -> None:
    guard = Guard(tmp_path, control="significant_fall")
    with pytest.warns(CrestfallWarning, match="first 12 evaluations no fall can be seen"):
        guard.observe(0, select=0.5)


# --- what is not finite -----------------------------------------------------------------------------------------------


def test_a_score_that_is_nan_is_the_worst(tmp_path: Path) -> None:
    weights = np.zeros(1)
    guard = Guard(tmp_path, control=EarlyStop(patience=2), state={"w": weights})
    for step, score in enumerate([0.3, 0.5, float("nan"), 0.4]):
        weights[:] = step
        decision = guard.observe(step, select=score, n=480)
        guard.carry_out(decision)
    assert (decision.action, decision.target_step, weights[0]) == ("stop", 1, 1)
    line = json.loads((tmp_path / "observations.jsonl").read_text().splitlines()[2])
    assert (line["select"], line["not_finite"]) == (0.0, "score")


@pytest.mark.parametrize(("control", "action"), [(EarlyStop(patience=9, then="go_on"), "rollback"), ("none", "stop")])
def test_weights_that_are_nan_are_left(control: Any, action: str, tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    guard = Guard(tmp_path, control=control, state={"m": model})
    guard.observe(0, select=0.5)
    before = model.weight.detach().clone()
    with torch.no_grad():
        model.weight[0, 0] = float("nan")
    decision = guard.observe(1, select=0.9)  # whatever the score says
    assert guard.carry_out(decision) is (action == "stop")
    assert (decision.action, decision.target_step) == (action, 0)
    assert torch.equal(model.weight, before)


# --- rollbacks --------------------------------------------------------------------------------------------------------


def test_rollbacks_are_bounded_and_said(tmp_path: Path) -> None:
    weights, emptied = np.zeros(1), []
    guard = Guard(
        tmp_path, control=BACK, state={"w": weights}, max_rollbacks=2, on_rollback=[lambda: emptied.append(1)]
    )
    actions = []
    for step, score in enumerate([0.5, 0.1, 0.1, 0.1]):
        decision = guard.observe(step, select=score)
        guard.carry_out(decision)
        actions.append(decision.action)
    assert actions == ["continue", "rollback", "rollback", "stop"]
    assert "rolled back 2 times already (max_rollbacks)" in decision.reason
    assert len(emptied) == 2


@pytest.mark.parametrize(("schedule", "rate"), [("back", 0.5), ("on", 0.25)])
def test_a_schedule_goes_back_or_on(schedule: Any, rate: float, tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    state = {"w": weight, "o": optimizer, "s": scheduler}
    guard = Guard(tmp_path, control=BACK, state=state, schedule=schedule)
    for step, score in enumerate([0.1, 0.5, 0.2]):
        if step:
            optimizer.step()
            scheduler.step()
        guard.carry_out(guard.observe(step, select=score))
    assert optimizer.param_groups[0]["lr"] == rate
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == rate / 2


def test_an_average_is_handed_on_up_to_the_peak(tmp_path: Path) -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(model)
    guard = Guard(tmp_path, control=EarlyStop(patience=2), state={"m": model}, hand_on=average)
    for step, score in enumerate([0.1, 0.3, 0.5, 0.2, 0.1]):
        with torch.no_grad():
            model.weight.fill_(step)
        average.update()
        guard.carry_out(guard.observe(step, select=score))
    assert model.weight.item() == pytest.approx((0 + 1 + 2) / 3)


def test_a_rollback_writes_no_second_snapshot(tmp_path: Path) -> None:
    weights = np.zeros(1)
    guard = Guard(tmp_path, control=BACK, state={"w": weights})
    for step, score in enumerate([0.1, 0.5, 0.2, 0.3, 0.2]):
        guard.carry_out(guard.observe(step, select=score))
    guard.carry_out(guard.finish())
    guard.close()
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == ["000001-step-1"]


def test_a_guard_that_only_decides_keeps_the_trainers_best_checkpoint(tmp_path: Path) -> None:
    import shutil

    guard = Guard(tmp_path / "guard", control=BACK, keep="best", checkpoints=tmp_path / "checkpoint-{step}")
    for step, score in enumerate([0.1, 0.5, 0.2]):
        path = tmp_path / f"checkpoint-{step}"
        path.mkdir()
        (path / "weights").write_text(str(step))
        decision = guard.observe(step, select=score)
        shutil.rmtree(path)  # the trainer keeps none
    with pytest.warns(CrestfallWarning, match="this guard only decides: go on from .*step-1"):
        assert guard.carry_out(decision)
    assert guard.checkpoint is not None
    assert (guard.checkpoint / "weights").read_text() == "1"
    assert guard.checkpoint.name == "checkpoint-1"  # trainers read the step from it
    assert [path.name for path in (tmp_path / "guard" / "kept").iterdir()] == ["step-1"]
