"""The callback in other people's runs: metrics, order, trackers, NaN weights, frozen layers, decide-only."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
torch = pytest.importorskip("torch")

import tiny_trl  # noqa: E402

from crestfall import CrestfallCallback  # noqa: E402
from crestfall.control.early_stop import EarlyStop  # noqa: E402
from crestfall.core.errors import ConfigError, CrestfallWarning, InputError  # noqa: E402
from crestfall.guard.trl_callback import metric_in  # noqa: E402

pytestmark = [pytest.mark.trl, pytest.mark.filterwarnings("ignore:.*:FutureWarning")]

FALL = [0.1, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]


def sft(output: Path, callbacks: list[Any], model: Any = None, **options: Any) -> Any:
    """A plain Trainer on sixty-four lines of tokens."""
    from datasets import Dataset
    from transformers import Trainer, TrainingArguments

    rows = [
        {"input_ids": [3 + i % 20, 3 + (3 * i) % 20, 4], "labels": [3 + i % 20, 3 + (3 * i) % 20, 4]} for i in range(64)
    ]
    defaults = {
        "max_steps": 6, "per_device_train_batch_size": 8, "learning_rate": 1e-2, "report_to": [], "use_cpu": True,
        "disable_tqdm": True, "save_strategy": "no", "logging_strategy": "no",
    }  # fmt: skip
    return Trainer(
        model=model if model is not None else tiny_trl.model(),
        args=TrainingArguments(str(output), **(defaults | options)),
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(rows[:8]),
        callbacks=callbacks,
    )


class Calls:
    def __init__(self, values: Any) -> None:
        self.values, self.calls = values, []

    def __call__(self, model: Any, step: int) -> float:
        self.calls.append(step)
        return float(self.values[step])


def test_the_last_step_is_evaluated_and_patience_counts_evaluations(tmp_path: Path) -> None:
    evaluate = Calls({0: 0.1, 4: 0.3, 8: 0.29, 10: 0.6})
    sft(tmp_path, [CrestfallCallback(evaluate=evaluate, every=4)], max_steps=10).train()
    assert evaluate.calls == [0, 4, 8, 10]


def test_a_loss_is_minimised_by_its_name(tmp_path: Path) -> None:
    callback = CrestfallCallback("early_stop", metric="eval_loss")
    trainer = sft(tmp_path, [callback], eval_strategy="steps", eval_steps=1)
    trainer.train()
    losses = {row["step"]: row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row}
    assert callback.decision is not None
    assert callback.decision.target_step == min(losses, key=losses.__getitem__)
    with pytest.raises(ConfigError, match="greater_is_better"):
        sft(tmp_path, [CrestfallCallback(metric="eval_kl")], eval_strategy="steps", eval_steps=1).train()


def test_a_trainer_that_never_evaluates_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the trainer never evaluates"):
        sft(tmp_path, [CrestfallCallback(metric="eval_loss")]).train()


def test_which_of_several_evaluation_sets() -> None:
    both = {"eval_a_reward": 0.5, "eval_a_runtime": 1.0}
    assert metric_in(both, "eval_a_reward") == metric_in(both, "a_reward") == 0.5
    assert metric_in({"eval_b_reward": 0.5, "eval_b_runtime": 1.0}, "eval_a_reward") is None
    trl = {"eval_reward": 0.7, "eval_a_runtime": 1.0}  # TRL's own metrics go without the set's name
    assert metric_in(trl, "eval_a_reward") == 0.7
    with pytest.raises(InputError, match="eval_a_reward"):
        metric_in(trl, "eval_reward")


def test_evaluations_after_training_are_left_alone(tmp_path: Path) -> None:
    callback = CrestfallCallback(metric="eval_loss")
    trainer = sft(tmp_path, [callback], eval_strategy="steps", eval_steps=2, max_steps=4)
    trainer.train()
    before = tiny_trl.weights(trainer)
    trainer.evaluate(metric_key_prefix="test")
    trainer.evaluate()
    assert all(torch.equal(before[name], value) for name, value in tiny_trl.weights(trainer).items())


def test_it_comes_first_and_its_scores_are_logged(tmp_path: Path) -> None:
    from transformers import TrainerCallback

    seen = {}

    class Uploads(TrainerCallback):
        """What W&B's callback does: it looks at the weights when training ends."""

        def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            seen["end"] = {name: p.detach().clone() for name, p in model.named_parameters()}

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            seen.setdefault("logged", set()).update(logs)

    callback = CrestfallCallback(evaluate=Calls(FALL))
    trainer = sft(tmp_path, [Uploads(), callback])
    assert trainer.callback_handler.callbacks[0] is callback
    trainer.train()
    assert all(torch.equal(seen["end"][name], value) for name, value in tiny_trl.weights(trainer).items())
    assert {"crestfall/select", "crestfall/best", "crestfall/learning_rate_scale"} <= seen["logged"]
    rows = [row for row in trainer.state.log_history if "crestfall/stop_at" in row]
    assert rows[0]["crestfall/stop_at"] == 1
    assert "nothing above" in rows[0]["crestfall/reason"]
    assert [path.name for path in tmp_path.iterdir()] == ["_crestfall"]


def test_rollouts_are_forgotten_though_nobody_attached_it(tmp_path: Path) -> None:
    callback = CrestfallCallback(control=EarlyStop(patience=1, then="go_on"), evaluate=Calls([0.1, 0.5, 0.2, 0.6, 0.7]))
    options = {"steps_per_generation": 4, "gradient_accumulation_steps": 1, "max_steps": 4}
    trainer = tiny_trl.trainer("GRPO", tmp_path, [callback], **options)
    sampled = []
    generate = trainer._generate_and_score_completions

    def noted(*args: Any, **kwargs: Any) -> Any:
        sampled.append(trainer.state.global_step)
        return generate(*args, **kwargs)

    trainer._generate_and_score_completions = noted
    trainer.train()
    assert sampled == [0, 2]  # once in four steps, and again after the rollback


@pytest.mark.parametrize("control", ["early_stop", EarlyStop(then="go_on")], ids=["stops", "goes back"])
def test_nan_weights_are_left_before_they_are_sampled_from(control: Any, tmp_path: Path) -> None:
    from transformers import TrainerCallback

    class Bomb(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            if state.global_step == 2:
                with torch.no_grad():
                    next(model.parameters()).fill_(math.nan)

    callback = CrestfallCallback(control, evaluate=Calls([0.1, 0.5, 0.4, 0.6, 0.3, 0.2, 0.1]))
    trainer = tiny_trl.trainer("GRPO", tmp_path, [Bomb(), callback], max_steps=4)
    trainer.train()
    assert all(value.isfinite().all() for value in tiny_trl.weights(trainer).values())
    lines = [json.loads(line) for line in next(tmp_path.rglob("observations.jsonl")).read_text().splitlines()]
    assert any(line.get("not_finite") == "weights" for line in lines)


def test_layers_that_are_unfrozen_later_go_back_too(tmp_path: Path) -> None:
    from transformers import TrainerCallback

    model = tiny_trl.model()
    head = model.model.layers[0].mlp.up_proj.weight.requires_grad_(False)
    frozen = head.detach().clone()

    class Unfreeze(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 2:
                head.requires_grad_(True)

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 3:
                with torch.no_grad():
                    head.add_(1.0)  # an optimizer that has it would

    callback = CrestfallCallback(evaluate=Calls(FALL))
    sft(tmp_path, [callback, Unfreeze()], model).train()
    assert callback.decision is not None
    assert callback.decision.target_step == 1
    assert torch.equal(head, frozen)


def test_frozen_weights_that_are_written_are_kept_from_then_on(tmp_path: Path) -> None:
    from transformers import TrainerCallback

    model = tiny_trl.model()
    base = model.model.layers[0].mlp.up_proj.weight.requires_grad_(False)
    at = {}

    class Drift(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            base.data += 0.01  # a merge and an unmerge in bfloat16

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            at[state.global_step] = base.detach().clone()

    callback = CrestfallCallback(evaluate=Calls(FALL))
    with pytest.warns(CrestfallWarning, match="frozen weights are being written"):
        sft(tmp_path, [Drift(), callback], model).train()
    assert torch.equal(base, at[1])


def test_keep_best_decides_and_protects_the_trainers_checkpoint(tmp_path: Path) -> None:
    callback = CrestfallCallback(evaluate=Calls(FALL), keep="best")
    options = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 1, "max_steps": 10}
    trainer = sft(tmp_path, [callback], **options)
    trainer.train()
    assert trainer.state.global_step == 4
    assert callback.decision is not None
    assert callback.decision.target_step == 1
    assert callback.checkpoint is not None
    assert (callback.checkpoint / "optimizer.pt").exists()
    assert trainer.state.best_global_step == 1
    assert (tmp_path / "checkpoint-1").exists()


def test_the_mean_of_the_weights_is_handed_on(tmp_path: Path) -> None:
    from transformers import TrainerCallback

    seen = []

    class Watch(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            seen.append({name: p.detach().clone() for name, p in model.named_parameters()})

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            seen.append({name: p.detach().clone() for name, p in model.named_parameters()})

    callback = CrestfallCallback(evaluate=Calls([0.1, 0.3, 0.5, 0.2, 0.1, 0.1]), hand_on="mean")
    trainer = sft(tmp_path, [callback, Watch()])
    trainer.train()
    for name, value in tiny_trl.weights(trainer).items():
        assert torch.allclose(value, (seen[0][name] + seen[1][name] + seen[2][name]) / 3, atol=1e-6)


def test_a_reference_that_follows_goes_back_with_the_weights(tmp_path: Path) -> None:
    """`sync_ref_model`: else the KL penalty after a rollback refers to the policy of the collapse."""
    from transformers import TrainerCallback

    tiny_trl.model().save_pretrained(tmp_path / "m")
    tiny_trl.tokenizer().save_pretrained(tmp_path / "m")
    scores = [0.1, 0.5, 0.2, 0.1, 0.1]
    callback = CrestfallCallback(
        {"name": "early_stop", "then": "go_on", "margin": 2}, evaluate=lambda model, step: scores[step]
    )
    options = {"max_steps": 4, "beta": 0.1, "sync_ref_model": True, "ref_model_mixup_alpha": 0.5}
    trainer = tiny_trl.trainer(
        "GRPO", tmp_path, [callback], policy=str(tmp_path / "m"), ref_model_sync_steps=1, **options
    )
    seen: dict[int, list[Any]] = {}

    class Noting(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seen[state.global_step] = [p.detach().clone() for p in trainer.ref_model.parameters()]

    trainer.add_callback(Noting())
    trainer.train()
    assert callback.decision is not None
    assert callback.decision.target_step == 1
    assert all(map(torch.equal, seen[3], seen[1]))  # rolled back within step 3
    assert not all(map(torch.equal, seen[2], seen[1]))
    assert all(torch.equal(p, kept) for p, kept in zip(trainer.ref_model.parameters(), seen[1], strict=True))


def test_an_evaluation_that_failed_is_not_observed(tmp_path: Path) -> None:
    scores = [0.1, None, 0.5, None, 0.2, 0.2, 0.2]
    callback = CrestfallCallback("none", evaluate=lambda model, step: scores[step])
    tiny_trl.trainer("GRPO", tmp_path, [callback]).train()
    assert callback.guard is not None
    rows = map(json.loads, (callback.guard.directory / "observations.jsonl").read_text().splitlines())
    assert [row["step"] for row in rows] == [0, 2, 4, 5, 6]


def test_every_train_has_a_directory_that_is_not_uploaded(tmp_path: Path) -> None:
    from huggingface_hub.utils import filter_repo_objects

    callback = CrestfallCallback("none", evaluate=lambda model, step: 0.1)
    trainer = tiny_trl.trainer("GRPO", tmp_path, [callback], max_steps=1)
    for _ in range(2):
        trainer.train()
    files = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]
    assert {name.split("/")[1] for name in files if name.startswith("_crestfall/")} == {"train-00", "train-01"}
    # What transformers' push_to_hub leaves out.
    assert not any("crestfall" in name for name in filter_repo_objects(files, ignore_patterns=["_*", "checkpoint-*"]))
