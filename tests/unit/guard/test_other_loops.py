"""Training loops as other people write them: what would be silently wrong is right, refused, or said."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crestfall import Guard, StepMeter
from crestfall.core.errors import ConfigError, CrestfallWarning, InputError
from crestfall.core.types import Decision
from crestfall.guard.scores import greater_is_better
from crestfall.store import statetree

torch = pytest.importorskip("torch")

from test_actions import Scripted  # noqa: E402

BACK = {3: Decision("rollback", 1, "back")}


def network() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))


INPUTS = torch.arange(8.0).reshape(2, 4)


def trained(model: Any, *optimizers: Any) -> None:
    for optimizer in optimizers:
        optimizer.zero_grad()
    (model(INPUTS) ** 2).mean().backward()
    for optimizer in optimizers:
        optimizer.step()


def bits(state: Any) -> Any:
    return statetree.pack({name: item.state_dict() for name, item in state.items()})


def same(one: Any, other: Any) -> bool:
    return one.skeleton == other.skeleton and all(torch.equal(v, other.leaves[k]) for k, v in one.leaves.items())


def comes_back(directory: Path, state: dict[str, Any], step: Callable[[], object], **options: Any) -> bool:
    """Whether the rollback of step 3 brings back all that there was at step 1."""
    with Guard(directory, control=Scripted(BACK), state=state, **options) as guard:
        for number in range(4):
            if number:
                step()
            if number == 1:
                wanted = bits(state)
            guard.carry_out(guard.observe(number, select=0.1))
    return same(wanted, bits(state))


# --- what the state holds ---------------------------------------------------------------------------------------------


def test_weights_that_are_trained_and_not_in_the_state_are_said(tmp_path: Path) -> None:
    model = network().bfloat16()
    wide = [weight.detach().float().requires_grad_() for weight in model.parameters()]
    state = {"model": model, "optimizer": torch.optim.AdamW(wide)}
    with pytest.warns(CrestfallWarning, match=r"state\['optimizer'\] trains weights that nothing in `state` holds"):
        Guard(tmp_path, state=state).close()
    Guard(tmp_path / "with them", state={**state, "wide": wide}).close()


def test_what_somebody_deletes_in_the_run_is_said_and_written_again(tmp_path: Path) -> None:
    state = {"model": network()}
    with Guard(tmp_path / "run", control="none", state=state) as guard:
        guard.observe(0, select=0.5)
        guard.flush()
        shutil.rmtree(tmp_path / "run")
        with pytest.warns(CrestfallWarning, match="000000-step-0 has been deleted"):
            guard.observe(1, select=0.4)
    with Guard(tmp_path / "run", control="none", state=state) as again:
        assert again.last_step == 1
        assert again.best_score == (0, 0.5)
        assert again.best is not None
        assert again.best.path is not None


def test_a_folder_that_is_no_snapshot_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "snapshots" / "000007-backup").mkdir(parents=True)
    with pytest.warns(CrestfallWarning, match=r"000007-backup.*set aside"):
        Guard(tmp_path).close()
    assert (tmp_path / "snapshots" / "000007-backup").exists()


def test_a_link_to_a_directory_is_that_directory(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "run")
    first = Guard(tmp_path / "link")
    second = Guard(tmp_path / "run")
    second.observe(0, select=0.5)
    with pytest.raises(ConfigError, match="closed"):
        first.observe(0, select=0.5)


# --- another run, another direction ---------------------------------------------------------------------------------


def test_a_directory_whose_scores_go_the_other_way_is_refused(tmp_path: Path) -> None:
    model = network()
    with Guard(tmp_path, state={"model": model}) as guard:
        guard.observe(0, select=2.3)
    with pytest.raises(ConfigError, match=r"scores up to step 0 are better when larger, and now .* smaller"):
        Guard(tmp_path, state={"model": model}, greater_is_better=False)
    with Guard(tmp_path, state={"model": model}) as guard:
        assert guard.last_step == 0


def test_a_loss_is_reported_as_it_was_given(tmp_path: Path) -> None:
    with Guard(tmp_path, state={"model": network()}, greater_is_better=False) as guard:
        for step, loss in enumerate([2.3, 1.8, float("nan"), 2.0, 2.1]):
            decision = guard.observe(step, select=loss)
        assert guard.best_score == (1, 1.8)
        assert guard.last_score == 2.1
        assert guard.best is not None
        assert guard.best.value == 1.8
        assert decision.reason.endswith("(smaller is better: scores with their sign changed)")
        guard.carry_out(decision)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (lambda: torch.nn.Linear(4, 4), lambda: torch.nn.Sequential(torch.nn.Linear(4, 4)), "parts.1.0.bias"),
        (
            lambda: torch.optim.SGD([torch.zeros(1)], 0.1),
            lambda: torch.optim.Adam([torch.zeros(1)], 0.1),
            "parts.1 is a torch.optim.adam.Adam here",
        ),
    ],
)
def test_another_run_is_refused_inside_lists_too(before: Any, after: Any, message: str, tmp_path: Path) -> None:
    with Guard(tmp_path, state={"parts": [torch.nn.Linear(2, 2), before()]}) as guard:
        guard.observe(0, select=0.5)
    with pytest.raises(ConfigError, match=message):
        Guard(tmp_path, state={"parts": [torch.nn.Linear(2, 2), after()]})


def test_the_working_directory_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "a")
    with Guard("run", keep="best", checkpoints="ckpt-{step}") as guard:
        (tmp_path / "a" / "ckpt-0").mkdir()
        os.chdir(tmp_path / "b")
        guard.observe(0, select=0.1)
        assert guard.checkpoint == tmp_path / "a" / "ckpt-0"
    assert (tmp_path / "a" / "run" / "observations.jsonl").exists()
    assert not list((tmp_path / "b").iterdir())


def test_two_guards_in_one_directory_do_not_write_into_each_other(tmp_path: Path) -> None:
    """A cell of a notebook that is run again; or one directory for two models by mistake."""
    first = Guard(tmp_path, state={"model": network()})
    first.observe(0, select=0.1)
    second = Guard(tmp_path, state={"model": network()})
    second.observe(1, select=0.2)
    with pytest.raises(ConfigError, match="this guard is closed"):
        first.observe(1, select=0.3)
    second.close()
    with Guard(tmp_path, state={"model": network()}) as third:
        assert third.last_step == 1


# --- what goes on after a rollback ----------------------------------------------------------------------------------


def test_gradients_of_other_weights_are_not_stepped_along(tmp_path: Path) -> None:
    """Observed in the middle of an accumulation."""
    model = network()
    sgd = torch.optim.SGD(model.parameters(), 0.1)
    with Guard(tmp_path, control=Scripted(BACK), state={"model": model, "optimizer": sgd}) as guard:
        for number in range(4):
            (model(INPUTS) ** 2).mean().backward()
            guard.carry_out(guard.observe(number, select=0.1))
    assert all(not p.grad.any() for p in model.parameters())


def test_training_goes_on_after_a_rollback_in_inference_mode(tmp_path: Path) -> None:
    model = network()
    adam = torch.optim.AdamW(model.parameters())
    with Guard(tmp_path, control=Scripted(BACK), state={"model": model, "optimizer": adam}) as guard:
        for number in range(6):
            trained(model, adam)
            with torch.inference_mode():
                guard.carry_out(guard.observe(number, select=0.1))
    assert not any(value.is_inference() for state in adam.state.values() for value in state.values())


def test_an_optimizer_s_tensors_stay_where_they_are(tmp_path: Path) -> None:
    """A captured CUDA graph goes on writing into them."""
    model = network()
    adam = torch.optim.AdamW(model.parameters(), lr=torch.tensor(0.01))
    trained(model, adam)
    script = {3: Decision("rollback", 1, "", {}, 0.5)}

    def places() -> list[int]:
        kept = [value for state in adam.state.values() for value in state.values()] + [adam.param_groups[0]["lr"]]
        return [value.data_ptr() for value in kept]

    before = places()
    with Guard(tmp_path, control=Scripted(script), state={"model": model, "optimizer": adam}) as guard:
        for number in range(4):
            trained(model, adam)
            guard.carry_out(guard.observe(number, select=0.1))
    assert places() == before
    assert float(adam.param_groups[0]["lr"]) == pytest.approx(0.005)
    assert {int(state["step"]) for state in adam.state.values()} == {3}


def test_one_rate_shared_by_two_groups_is_halved_once(tmp_path: Path) -> None:
    model, rate = network(), torch.tensor(0.01)
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters()}]
    adam = torch.optim.AdamW(groups, lr=rate)
    script = {0: Decision("continue", learning_rate_scale=0.5)}
    with Guard(tmp_path, control=Scripted(script), state={"model": model, "optimizer": adam}) as guard:
        guard.carry_out(guard.observe(0, select=0.1))
    assert [float(group["lr"]) for group in adam.param_groups] == pytest.approx([0.005, 0.005])


@contextmanager
def halved(tmp_path: Path) -> Iterator[tuple[Guard, torch.optim.Optimizer]]:
    """A guard that has just rolled back and halved the rate of 0.01."""
    model = network()
    adam = torch.optim.AdamW(model.parameters(), lr=0.01)
    script = {1: Decision("rollback", 0, "", {}, 0.5)}
    with Guard(tmp_path, control=Scripted(script), state={"model": model, "optimizer": adam}) as guard:
        for number in range(2):
            guard.carry_out(guard.observe(number, select=0.1))
        yield guard, adam


UNDONE = "lowered the learning rate to 0.005, and it is 0.01 again"


def test_a_loop_that_sets_its_own_rates_is_told(tmp_path: Path) -> None:
    with halved(tmp_path) as (guard, adam):
        for group in adam.param_groups:
            group["lr"] = 0.01  # from a schedule of the loop's own
        with pytest.warns(CrestfallWarning, match=UNDONE):
            guard.carry_out(guard.observe(2, select=0.1))
        assert guard.learning_rate_scale == 0.5


def test_a_rate_that_is_set_between_two_observations_is_seen_before_the_step(tmp_path: Path) -> None:
    with halved(tmp_path) as (guard, adam):
        adam.param_groups[0]["lr"] = 0.01  # for the step alone
        with pytest.warns(CrestfallWarning, match=UNDONE):
            guard.check_rates()
        guard.check_rates()  # said once


def test_a_loop_that_takes_the_scale_along_is_not(tmp_path: Path) -> None:
    model = network()
    adam = torch.optim.AdamW(model.parameters(), lr=0.01)
    script = {1: Decision("rollback", 0, "", {}, 0.5)}
    with Guard(tmp_path, control=Scripted(script), state={"model": model, "optimizer": adam}) as guard:
        for number in range(4):
            for group in adam.param_groups:
                group["lr"] = 0.01 * guard.learning_rate_scale
            guard.carry_out(guard.observe(number, select=0.1))
    assert adam.param_groups[0]["lr"] == pytest.approx(0.005)


def test_a_decision_that_nobody_carries_out_is_said(tmp_path: Path) -> None:
    guard = Guard(tmp_path, state={"model": network()})
    for step, score in enumerate([0.5, 0.4, 0.3, 0.2]):
        decision = guard.observe(step, select=score)
    assert decision.action == "stop"
    with pytest.warns(CrestfallWarning, match=r"the decision of step 3, stop \(step 0\), was not carried out"):
        guard.close()


def test_what_a_load_state_dict_ignores_is_said(tmp_path: Path) -> None:
    class Counter:
        count = 0

        def state_dict(self) -> dict[str, int]:
            return {"count": self.count}

        def load_state_dict(self, state: Any) -> None:
            pass

    counter = Counter()
    with Guard(tmp_path, control=Scripted(BACK), state={"model": network(), "counter": counter}) as guard:
        for number in range(3):
            counter.count = number
            guard.carry_out(guard.observe(number, select=0.1))
        with pytest.warns(
            CrestfallWarning, match=r"restored state differs from the captured one: counter.count \(1 in all\)"
        ):
            guard.carry_out(guard.observe(3, select=0.1))


# --- modes and makes ------------------------------------------------------------------------------------------------


def test_a_default_device_of_one_s_own(tmp_path: Path) -> None:
    """`meta` stands in for a GPU: what is made on it by mistake is lost."""
    model = network()
    adam = torch.optim.AdamW(model.parameters())
    torch.set_default_device("meta")
    try:
        assert comes_back(tmp_path, {"m": model, "o": adam}, lambda: trained(model, adam), in_memory=False)
    finally:
        torch.set_default_device(None)


def test_deterministic_algorithms(tmp_path: Path) -> None:
    model = network()
    adam = torch.optim.AdamW(model.parameters())
    torch.use_deterministic_algorithms(True)
    try:
        assert comes_back(tmp_path, {"m": model, "o": adam}, lambda: trained(model, adam))
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("in_memory", [True, False])
def test_two_optimizers_and_an_average_of_torch_s_own(in_memory: bool, tmp_path: Path) -> None:
    model = network()
    matrices, vectors = ([p for p in model.parameters() if (p.ndim == 2) is wide] for wide in (True, False))
    muon, adam = torch.optim.Muon(matrices, lr=0.01), torch.optim.AdamW(vectors)
    average = torch.optim.swa_utils.AveragedModel(model)

    def step() -> None:
        trained(model, muon, adam)
        average.update_parameters(model)

    state = {"model": model, "muon": muon, "adam": adam, "average": average}
    assert comes_back(tmp_path, state, step, in_memory=in_memory)


def test_lbfgs(tmp_path: Path) -> None:
    model = network()
    lbfgs = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)

    def loss() -> Any:
        lbfgs.zero_grad()
        value = (model(INPUTS) ** 2).mean()
        value.backward()
        return value

    assert comes_back(tmp_path, {"model": model, "optimizer": lbfgs}, lambda: lbfgs.step(loss))
    lbfgs.step(loss)


def test_channels_last_and_a_fused_optimizer(tmp_path: Path) -> None:
    model = torch.nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)
    adam = torch.optim.AdamW(model.parameters(), fused=True)
    images = torch.randn(2, 4, 5, 5).to(memory_format=torch.channels_last)

    def step() -> None:
        adam.zero_grad()
        (model(images) ** 2).mean().backward()
        adam.step()

    step()
    strides = [state["exp_avg"].stride() for state in adam.state.values()]
    assert comes_back(tmp_path, {"model": model, "optimizer": adam}, step)
    step()
    assert [state["exp_avg"].stride() for state in adam.state.values()] == strides


def test_parametrized_weights_and_complex_buffers(tmp_path: Path) -> None:
    norms = torch.nn.utils.parametrizations
    model = torch.nn.Sequential(norms.weight_norm(torch.nn.Linear(4, 4)), norms.spectral_norm(torch.nn.Linear(4, 4)))
    model.register_buffer("freqs", torch.polar(torch.ones(4), torch.arange(4.0)))
    adam = torch.optim.AdamW(model.parameters())
    assert comes_back(tmp_path, {"model": model, "optimizer": adam}, lambda: trained(model, adam), in_memory=False)


# --- numbers and names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "meant"), [("N", "n"), ("num_samples", "n"), ("stderr", "standard_error")])
def test_a_misspelt_argument_is_no_signal(name: str, meant: str, tmp_path: Path) -> None:
    with (
        Guard(tmp_path, state={"model": network()}) as guard,
        pytest.raises(InputError, match=f"'{name}' is not a signal; did you mean {meant}="),
    ):
        guard.observe(0, select=0.1, **{name: 0.5})


TURNED = ["incorrect", "eval_inaccuracy", "neg_log_loss", "neg_mean_squared_error", "toxicity_score", "problem", "item"]


@pytest.mark.parametrize("name", [*TURNED, "eval_false_pass_rate", "kl_penalty/score", "heatmap", "unsolved"])
def test_a_name_that_only_looks_like_another_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is a larger value better"):
        greater_is_better(name)


@pytest.mark.parametrize(
    "name", ["eval_unit_tests_pass_rate", "mean_token_accuracy", "pass^4", "acc/best@8", "gsm8k/em"]
)
def test_names_in_use_say_that_larger_is_better(name: str) -> None:
    assert greater_is_better(name)


# --- the step meter under schedules and controllers -----------------------------------------------------------------


def metered(rate_of: Callable[[int], float]) -> list[float]:
    """Sizes of the steps of a loop whose rate is set before each step."""
    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=1.0)
    meter = StepMeter(model.parameters(), sgd, {"name": "norm", "target": 1e-3, "pull_back": 1.0})
    sizes = []
    for step in range(12):
        for group in sgd.param_groups:
            group["lr"] = rate_of(step)
        sgd.zero_grad()
        (model(INPUTS) ** 2).mean().backward()
        meter.before()
        sgd.step()
        sizes.append(meter.after().size)
    return sizes


def test_a_lower_rate_means_shorter_metered_steps() -> None:
    constant, halved = metered(lambda step: 1.0), metered(lambda step: 1.0 if step < 6 else 0.5)
    assert halved[:6] == pytest.approx(constant[:6])
    assert halved[-1] == pytest.approx(constant[-1] / 2, rel=0.1)


def test_a_controller_s_lower_rate_does_too_and_a_restart_knows(tmp_path: Path) -> None:
    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=1.0)
    meter = StepMeter(model.parameters(), sgd, {"name": "norm", "target": 1e-3, "pull_back": 1.0})
    script = {5: Decision("continue", learning_rate_scale=0.25)}
    sizes = []
    with Guard(tmp_path, control=Scripted(script), state={"m": model, "o": sgd, "pace": meter}) as guard:
        for step in range(12):
            if step == 9:  # made anew with the rate that is in force, and told of the one before
                kept, meter = meter.state_dict(), StepMeter(model.parameters(), sgd, meter.pace)
                meter.load_state_dict(kept)
            sgd.zero_grad()
            (model(INPUTS) ** 2).mean().backward()
            meter.before()
            sgd.step()
            sizes.append(meter.after().size)
            guard.carry_out(guard.observe(step, select=0.1))
    assert sizes[11] == pytest.approx(sizes[5] / 4, rel=0.1)


def test_a_warm_up_is_compared_with_the_rate_it_leads_to() -> None:
    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=1.0)
    torch.optim.lr_scheduler.LambdaLR(sgd, lambda step: (step + 1) / 10)
    meter = StepMeter(model.parameters(), sgd, {"name": "norm", "target": 1e-3, "pull_back": 1.0})
    trained_once(model, sgd, meter)
    assert meter.state_dict()["configured"] == 1.0


def trained_once(model: Any, sgd: Any, meter: Any) -> None:
    (model(INPUTS) ** 2).mean().backward()
    meter.before()
    sgd.step()
    assert meter.after().size <= 1.01e-4


def test_steps_follow_a_rate_that_a_loop_raised_and_lowers_again() -> None:
    rates = (
        metered(lambda step: 0.1 if step < 2 else 5.0),
        metered(lambda step: 0.1 if step < 2 else 5.0 if step < 8 else 0.5),
    )
    assert rates[1][-1] == pytest.approx(rates[0][-1] / 10, rel=0.1)


# --- numbers and objects of other kinds -------------------------------------------------------------------------------


def test_complex_weights_that_are_nan_are_left(tmp_path: Path) -> None:
    weights = torch.zeros(3, dtype=torch.complex64, requires_grad=True)
    with Guard(tmp_path, state={"w": weights}) as guard:
        guard.observe(0, select=0.5)
        with torch.no_grad():
            weights[0] = complex(0.0, float("nan"))
        decision = guard.observe(1, select=0.6)
        assert (decision.action, decision.target_step) == ("stop", 0)
        guard.carry_out(decision)
    assert not weights.isnan().any()


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_rate_in_a_tensor_stays_with_the_schedule(in_memory: bool, tmp_path: Path) -> None:
    model = network()
    adam = torch.optim.AdamW(model.parameters(), lr=torch.tensor(0.01))
    schedule = torch.optim.lr_scheduler.StepLR(adam, 1, gamma=0.5)
    state = {"m": model, "o": adam, "s": schedule}
    rate = adam.param_groups[0]["lr"]
    with Guard(tmp_path, control=Scripted(BACK), state=state, schedule="on", in_memory=in_memory) as guard:
        for number in range(4):
            if number:
                trained(model, adam)
                schedule.step()
            guard.carry_out(guard.observe(number, select=0.1))
    assert adam.param_groups[0]["lr"] is rate
    assert float(rate) == pytest.approx(0.01 / 8)


class Numpy(Scripted):
    """Keeps its steps in a list, and speaks in numpy's and torch's numbers."""

    def decide(self, state: Any, record: Any) -> Any:
        state, decision = super().decide(state, record)
        target = None if decision.target_step is None else np.int64(decision.target_step)
        evidence = {"x": np.float32(0.5), "t": torch.tensor(1), "nan": float("nan")}
        return state, Decision(decision.action, target, decision.reason, evidence, np.float64(1.0))

    def keep(self, state: Any) -> Any:
        return np.array(state["steps"])


def test_a_controller_may_use_numbers_of_every_make(tmp_path: Path) -> None:
    with Guard(tmp_path, control=Numpy(BACK), state={"m": torch.nn.Linear(2, 2)}) as guard:
        for number in range(4):
            decision = guard.observe(number, select=0.1)
        assert decision == Decision("rollback", 1, "back", {"x": 0.5, "t": 1})
        guard.carry_out(decision)
    with Guard(tmp_path, control=Numpy(BACK)) as again:
        assert again.last_step == 3


def test_a_decision_of_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="'roll_back': expected continue, stop or rollback"):
        Decision("roll_back", 1)  # type: ignore[arg-type]


def test_weights_that_never_change_are_said(tmp_path: Path) -> None:
    """A functional loop that makes new tensors at every step: the guard holds the first ones."""
    weights = {"w": torch.ones(3)}
    guard = Guard(tmp_path, state={"weights": weights})
    for step in range(3):
        weights = {name: value - 0.1 for name, value in weights.items()}
        guard.observe(step, select=0.1 * (step + 1))
    with pytest.warns(CrestfallWarning, match="snapshots of steps 0, 1, 2 are the same"):
        guard.close()


def grown(state: dict[str, Any]) -> None:
    state["model"].append(torch.nn.Linear(4, 4))
    state["adam"].add_param_group({"params": list(state["model"][3].parameters())})


def another_optimizer(state: dict[str, Any]) -> None:
    state["adam"] = torch.optim.SGD(state["model"].parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("change", "why"),
    [(grown, "model.3.bias is in the state here alone"), (another_optimizer, "adam is a torch.optim.sgd")],
)
def test_a_model_that_changes_at_a_worse_score_is_said_and_kept_from_there(
    change: Callable[[dict[str, Any]], None], why: str, tmp_path: Path
) -> None:
    model = network()
    state: dict[str, Any] = {"model": model, "adam": torch.optim.Adam(model.parameters())}
    with Guard(tmp_path, state=state) as guard:
        guard.observe(0, select=0.5)
        change(state)
        trained(model, state["adam"])
        kept = model[0].weight.detach().clone()
        with pytest.warns(CrestfallWarning, match=f"the state has changed: {why}"):
            guard.observe(1, select=0.4)
        trained(model, state["adam"])
        guard.observe(2, select=0.3)
        decision = guard.finish()
        guard.carry_out(decision)
    assert decision.target_step == 1
    assert decision.reason.endswith("no snapshot of step 0 is kept: step 1 (0.400) takes its place")
    assert torch.equal(model[0].weight, kept)


def test_arrays_that_become_nan_are_left_and_those_that_were_are_not_looked_at(tmp_path: Path) -> None:
    weights, log = np.zeros(3), np.full(4, np.nan)
    with Guard(tmp_path, state={"w": weights, "log": log}) as guard:
        assert guard.observe(0, select=0.5).action == "continue"
        weights[1] = np.inf
        decision = guard.observe(1, select=0.6)
        assert (decision.action, decision.target_step) == ("stop", 0)
        guard.carry_out(decision)
    assert not weights.any()


@pytest.mark.parametrize("then", ["stop", "go_on"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_weights_that_become_nan_after_their_own_best_score_come_back(
    then: str, in_memory: bool, tmp_path: Path
) -> None:
    """A callback sees them at the beginning of the next step, when the step counter is still that of the peak."""
    model = network()
    control = {"name": "early_stop", "then": then}
    with Guard(tmp_path, control=control, state={"model": model}, in_memory=in_memory) as guard:
        guard.observe(0, select=0.5)
        trained(model, torch.optim.SGD(model.parameters(), lr=0.1))
        guard.observe(1, select=0.6)
        kept = model[0].weight.detach().clone()
        with torch.no_grad():
            model[0].weight.fill_(float("nan"))
        decision = guard.observe(1, select=float("nan"))
        assert decision.target_step == 1
        assert guard.carry_out(decision) is (then == "stop")
        assert torch.equal(model[0].weight, kept)
        if then == "go_on":
            guard.carry_out(guard.observe(2, select=0.1))
            guard.carry_out(guard.finish())
            assert torch.equal(model[0].weight, kept)
