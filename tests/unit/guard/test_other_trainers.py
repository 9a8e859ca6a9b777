"""The callback in transformers and TRL trainers that other people configured, and every kind of decision in it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("trl")
torch = pytest.importorskip("torch")

import tiny_trl  # noqa: E402
from test_actions import Scripted  # noqa: E402
from test_callback_cases import FALL, sft  # noqa: E402
from transformers import TrainerCallback  # noqa: E402

from crestfall import CrestfallCallback  # noqa: E402
from crestfall.core.errors import ConfigError, CrestfallWarning, InputError  # noqa: E402
from crestfall.core.types import Decision  # noqa: E402
from crestfall.guard.trainer_link import forget_rollouts  # noqa: E402

pytestmark = [pytest.mark.trl, pytest.mark.filterwarnings("ignore:.*:FutureWarning")]

EVERY_STEP = {"eval_strategy": "steps", "eval_steps": 1}


def falling(model: Any, step: int) -> float:
    return FALL[step]


class Seen(TrainerCallback):  # type: ignore[misc]
    """What a trainer's parts were at each step, before the callback acted on it and when the next step began."""

    def __init__(self) -> None:
        self.weights: dict[int, Any] = {}
        self.rates: dict[int, float] = {}
        self.adam: dict[int, set[int]] = {}

    def __call__(self, model: Any, step: int) -> float:
        self.weights[step] = {name: p.detach().clone() for name, p in model.named_parameters()}
        return 0.1

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        optimizer = kwargs["optimizer"]
        self.rates[state.global_step] = optimizer.param_groups[0]["lr"]
        self.adam[state.global_step] = {int(s["step"]) for s in optimizer.state_dict()["state"].values()}


# --- decisions that change how training goes on ---------------------------------------------------------------------


def acted(output: Path, script: dict[int, Decision], last: Decision | None = None, **options: Any) -> tuple[Any, Seen]:
    seen = Seen()
    callback = CrestfallCallback(evaluate=seen, control=Scripted(script, last), max_snapshots=6)
    trainer = sft(output, [callback, seen], max_steps=5, **options)
    trainer.train()
    return trainer, seen


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine_with_min_lr", "reduce_lr_on_plateau"])
def test_a_rate_is_changed_without_a_rollback(schedule: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"lr_scheduler_type": schedule, **EVERY_STEP}
    if schedule == "cosine_with_min_lr":
        options["lr_scheduler_kwargs"] = {"min_lr": 1e-3}
    _, plain = acted(tmp_path / "a", {}, **options)
    trainer, scaled = acted(tmp_path / "b", {2: Decision("continue", None, "slower", {}, 0.5)}, **options)
    assert [scaled.rates[i] / plain.rates[i] for i in range(5)] == pytest.approx([1, 1, 0.5, 0.5, 0.5])
    assert scaled.adam[4] == {4}
    rows = [row for row in trainer.state.log_history if "crestfall/changes" in row]
    assert [(row["step"], row["crestfall/changes"]) for row in rows] == [(2, "learning rate x 0.5")]


def test_weights_are_averaged_without_a_rollback(tmp_path: Path) -> None:
    _, seen = acted(tmp_path, {3: Decision("continue", None, "mean", {}, average=(1, 2, 3))})
    _, plain = acted(tmp_path / "plain", {})
    assert seen.adam[3] == {3}
    for name, weight in seen.weights[3].items():
        assert torch.equal(weight, plain.weights[3][name])
    mean = {name: sum(seen.weights[step][name] for step in (1, 2, 3)) / 3 for name in seen.weights[1]}
    moved = {name: plain.weights[4][name] - plain.weights[3][name] for name in mean}
    close = [torch.dist(seen.weights[4][n], mean[n]) < 3 * moved[n].norm() + 1e-3 for n in mean]
    assert all(close)
    assert any(not torch.equal(seen.weights[4][name], plain.weights[4][name]) for name in mean)


def test_the_optimizer_is_forgotten_without_a_rollback(tmp_path: Path) -> None:
    _, seen = acted(tmp_path, {2: Decision("continue", None, "fresh", {}, forget_optimizer=True)})
    assert seen.adam == {0: set(), 1: {1}, 2: set(), 3: {1}, 4: {2}}


def test_a_rollback_may_average_forget_and_slow_down(tmp_path: Path) -> None:
    script = {3: Decision("rollback", 1, "all", {}, 0.5, forget_optimizer=True, average=(1, 2))}
    _, seen = acted(tmp_path, script, lr_scheduler_type="constant")
    assert seen.adam[3] == set()
    assert seen.rates[3] == pytest.approx(seen.rates[0] / 2)


def test_a_mean_is_handed_on_at_the_end(tmp_path: Path) -> None:
    trainer, seen = acted(tmp_path, {}, Decision("stop", 5, "used up", average=(2, 4)))
    for name, weight in trainer.model.named_parameters():
        assert torch.allclose(weight, (seen.weights[2][name] + seen.weights[4][name]) / 2, atol=1e-6)


def test_a_schedule_free_optimizer_is_evaluated_and_handed_on_as_such(tmp_path: Path) -> None:
    pytest.importorskip("schedulefree")
    seen = Seen()

    def evaluate(model: Any, step: int) -> float:
        assert not any(group["train_mode"] for group in trainer.optimizer.param_groups)
        seen(model, step)
        return FALL[step]

    callback = CrestfallCallback(evaluate=evaluate, control={"name": "early_stop", "patience": 2})
    trainer = sft(tmp_path, [callback], max_steps=5, optim="schedule_free_adamw", lr_scheduler_type="constant")
    trainer.train()
    assert callback.decision is not None
    assert callback.decision.target_step
    kept = seen.weights[callback.decision.target_step]
    assert all(torch.equal(p, kept[name]) for name, p in trainer.model.named_parameters())
    assert not any(group["train_mode"] for group in trainer.optimizer.param_groups)


def test_completions_from_before_an_average_are_thrown_away(tmp_path: Path) -> None:
    script = {2: Decision("continue", None, "mean", {}, average=(1, 2))}
    callback = CrestfallCallback(evaluate=Seen(), control=Scripted(script), max_snapshots=6)
    trainer = tiny_trl.trainer("GRPO", tmp_path, [callback], max_steps=3, steps_per_generation=4)
    buffered: list[bool] = []

    class Looks(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            buffered.append(trainer._buffered_inputs is not None)

    trainer.add_callback(Looks())
    trainer.train()
    assert buffered == [False, True, False]


def test_a_trainer_that_samples_nothing_is_not_said_to_keep_completions() -> None:
    """CPO and ORPO have a max_completion_length, at which they cut the completions of the data set."""
    forget_rollouts(SimpleNamespace(), SimpleNamespace(max_completion_length=8))
    with pytest.warns(CrestfallWarning, match="completions from before the rollback"):
        forget_rollouts(SimpleNamespace(), SimpleNamespace(num_generations=8))


# --- resuming -------------------------------------------------------------------------------------------------------


def test_a_run_resumed_elsewhere_is_told_that_its_peak_is_not_known(tmp_path: Path) -> None:
    saved = {"save_strategy": "steps", "save_steps": 3}
    sft(tmp_path / "a", [CrestfallCallback(evaluate=falling)], max_steps=3, **saved).train()
    again = CrestfallCallback(evaluate=falling, control="none")
    with pytest.warns(CrestfallWarning, match=r"resumes at a checkpoint and .*/b/_crestfall holds nothing"):
        sft(tmp_path / "b", [again], max_steps=4).train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))
    known = CrestfallCallback(evaluate=falling, directory=tmp_path / "a" / "_crestfall")
    sft(tmp_path / "c", [known], max_steps=4).train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))
    assert known.decision is not None
    assert known.decision.target_step == 1


@pytest.mark.parametrize("hand_on", ["mean", "ema"])
def test_a_resumed_run_goes_on_with_its_average(hand_on: Any, tmp_path: Path) -> None:
    def run(output: Path, **options: Any) -> dict[str, Any]:
        callback = CrestfallCallback(evaluate=lambda model, step: 0.1 * step, hand_on=hand_on)
        trainer = sft(output, [callback], max_steps=6, save_strategy="steps", save_steps=3)
        trainer.train(**options)
        return tiny_trl.weights(trainer)

    whole = run(tmp_path)
    resumed = run(tmp_path, resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert all(torch.equal(weight, resumed[name]) for name, weight in whole.items())
    (tmp_path / "checkpoint-3" / "crestfall_average.safetensors").unlink()
    with pytest.warns(CrestfallWarning, match="no average of weights in .*checkpoint-3: it begins anew at step 3"):
        run(tmp_path, resume_from_checkpoint=str(tmp_path / "checkpoint-3"))


# --- metrics --------------------------------------------------------------------------------------------------------


def test_a_loss_is_logged_as_the_trainer_logs_it(tmp_path: Path) -> None:
    callback = CrestfallCallback(metric="eval_loss")
    trainer = sft(tmp_path, [callback], max_steps=3, **EVERY_STEP)
    trainer.train()
    rows = trainer.state.log_history
    losses = [row["eval_loss"] for row in rows if "eval_loss" in row]
    assert [row["crestfall/select"] for row in rows if "crestfall/select" in row] == losses
    assert [row["crestfall/best"] for row in rows if "crestfall/best" in row][-1] == min(losses)


def test_keep_best_leaves_the_loss_in_the_trainer_s_state(tmp_path: Path) -> None:
    callback = CrestfallCallback(metric="eval_loss", keep="best")
    options = {"learning_rate": 0.5, "save_strategy": "steps", "save_steps": 1, "save_total_limit": 1}
    trainer = sft(tmp_path, [callback], max_steps=6, load_best_model_at_end=True, **EVERY_STEP, **options)
    trainer.train()
    losses = {row["step"]: row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row}
    assert trainer.state.best_metric == min(losses.values())
    assert trainer.evaluate()["eval_loss"] == pytest.approx(min(losses.values()))


def test_a_direction_that_transformers_guessed_against_the_name_is_refused(tmp_path: Path) -> None:
    callback = CrestfallCallback(metric="eval_wer")
    trainer = sft(tmp_path, [callback], metric_for_best_model="eval_wer", **EVERY_STEP)
    assert trainer.args.greater_is_better
    with pytest.raises(ConfigError, match="'eval_wer': the trainer has greater_is_better=True, and by its name"):
        trainer.train()


def test_epochs_are_evaluated_once(tmp_path: Path) -> None:
    trainer = sft(
        tmp_path, [CrestfallCallback(metric="eval_loss")], max_steps=-1, num_train_epochs=2, eval_strategy="epoch"
    )
    trainer.train()
    assert [row["step"] for row in trainer.state.log_history if "eval_loss" in row] == [8, 16]


def test_two_sets_of_which_one_begins_with_the_other_s_name(tmp_path: Path) -> None:
    trainer = sft(tmp_path, [CrestfallCallback(metric="eval_math_hard_loss")], max_steps=2, **EVERY_STEP)
    trainer.eval_dataset = {"math": trainer.eval_dataset, "math_hard": trainer.eval_dataset.select(range(3))}
    trainer.train()
    rows = trainer.state.log_history
    assert [row["crestfall/select"] for row in rows if "crestfall/select" in row] == [
        row["eval_math_hard_loss"] for row in rows if "eval_math_hard_loss" in row
    ]


def test_the_number_of_samples_behind_a_loss_is_refused() -> None:
    with pytest.raises(ConfigError, match="'eval_loss' is not a share of samples"):
        CrestfallCallback(metric="eval_loss", n=480)


@pytest.mark.parametrize("answer", [{"pass@1": 0.3}, {"eval_reward": 0.3}, {"select": 0.3, "step": 0}])
def test_an_answer_in_other_words_is_one_line(answer: Any, tmp_path: Path) -> None:
    trainer = sft(tmp_path, [CrestfallCallback(evaluate=lambda model, step: answer)])
    with pytest.raises(InputError, match="the score under 'select', and no step"):
        trainer.train()


# --- together with others -------------------------------------------------------------------------------------------


def test_two_callbacks_in_one_trainer_do_not_end_it_twice(tmp_path: Path) -> None:
    by_score = CrestfallCallback(evaluate=falling, directory=tmp_path / "one")
    by_loss = CrestfallCallback(metric="eval_loss", directory=tmp_path / "two")
    sft(tmp_path, [by_score, by_loss], max_steps=6, **EVERY_STEP).train()
    assert by_score.decision is not None
    assert by_score.decision.target_step == 1


def test_one_callback_serves_one_trainer_after_another(tmp_path: Path) -> None:
    callback = CrestfallCallback(evaluate=falling)
    first, second = (sft(tmp_path / name, [callback], max_steps=6) for name in ("a", "b"))
    for trainer in (second, first):
        trainer.train()
        assert callback.decision is not None
        assert callback.decision.target_step == 1
        assert tiny_trl.adam_steps(trainer) == {1}


def test_the_trainer_s_own_best_does_not_replace_the_peak(tmp_path: Path) -> None:
    seen: dict[int, Any] = {}

    def evaluate(model: Any, step: int) -> float:
        seen[step] = {name: p.detach().clone() for name, p in model.named_parameters()}
        return FALL[step]

    saved = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 1, "load_best_model_at_end": True}
    trainer = sft(tmp_path, [CrestfallCallback(evaluate=evaluate)], max_steps=6, **EVERY_STEP, **saved)
    trainer.train()
    assert Path(trainer.state.best_model_checkpoint).name != "checkpoint-1"
    assert all(torch.equal(weight, seen[1][name]) for name, weight in tiny_trl.weights(trainer).items())


def test_layers_frozen_on_the_way_go_back_to_where_they_were(tmp_path: Path) -> None:
    model, seen = tiny_trl.model(), Seen()

    class Freezes(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 2:
                model.model.layers.requires_grad_(False)

    script = {4: Decision("rollback", 1, "back"), 5: Decision("rollback", 3, "and forth")}
    callback = CrestfallCallback(evaluate=seen, control=Scripted(script), max_snapshots=9)
    after: dict[int, Any] = {}

    class Looks(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            after[state.global_step] = {name: p.detach().clone() for name, p in model.named_parameters()}

    sft(tmp_path, [callback, Freezes(), Looks()], model=model, max_steps=6).train()
    for step, target in ((4, 1), (5, 3)):
        assert all(torch.equal(weight, seen.weights[target][name]) for name, weight in after[step].items())


class OneRate(TrainerCallback):  # type: ignore[misc]
    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for group in kwargs["optimizer"].param_groups:
            group["lr"] = 0.01


def test_a_callback_that_sets_the_rate_of_every_step_is_said_to(tmp_path: Path) -> None:
    half = Decision("rollback", 1, "back", learning_rate_scale=0.5)
    callback = CrestfallCallback(evaluate=falling, control=Scripted({2: half}))
    trainer = sft(tmp_path, [callback, OneRate()], max_steps=4, lr_scheduler_type="constant", learning_rate=0.01)
    with pytest.warns(CrestfallWarning, match="something outside `state` sets it"):
        trainer.train()


def test_an_average_that_no_rollback_takes_back_is_named(tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    trainer = sft(tmp_path, [trl.BEMACallback(), CrestfallCallback(evaluate=falling)], max_steps=2)
    with pytest.warns(CrestfallWarning, match="the average of BEMACallback holds the steps past the peak"):
        trainer.train()


def test_the_last_step_comes_back_though_the_trainer_loads_another(tmp_path: Path) -> None:
    seen = Seen()
    options = {"save_strategy": "steps", "save_steps": 1, "load_best_model_at_end": True, "greater_is_better": True}
    callback = CrestfallCallback(evaluate=lambda model, step: seen(model, step) * step)
    trainer = sft(tmp_path, [callback, seen], max_steps=3, metric_for_best_model="loss", **EVERY_STEP, **options)
    trainer.train()
    assert callback.decision is not None
    assert callback.decision.target_step == 3
    assert all(torch.equal(p, seen.weights[3][name]) for name, p in trainer.model.named_parameters())
