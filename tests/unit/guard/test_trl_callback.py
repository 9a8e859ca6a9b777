"""Real trainers on a tiny model: the peak comes back with Adam and scheduler, and training goes on from there."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
torch = pytest.importorskip("torch")

import tiny_trl  # noqa: E402

from crestfall import CrestfallCallback  # noqa: E402
from crestfall.control.early_stop import EarlyStop  # noqa: E402
from crestfall.core.errors import ConfigError, InputError  # noqa: E402

pytestmark = [pytest.mark.trl, pytest.mark.filterwarnings("ignore:.*:FutureWarning")]

PEAK_AT_2 = [0.1, 0.3, 0.5, 0.2, 0.1, 0.05, 0.04]


class Scripted:
    """An evaluation that says what it is told to, and remembers the weights it was shown."""

    def __init__(self, values: list[float]) -> None:
        self.values, self.seen = values, {}

    def __call__(self, model: Any, step: int) -> dict[str, float]:
        assert not model.training
        assert not torch.is_grad_enabled()
        torch.rand(7)  # an evaluation draws random numbers
        self.seen[step] = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        return {"select": self.values[step], "n": 480}


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", ["GRPO", "RLOO"])
def test_stop_hands_on_the_peak_and_training_goes_on_from_it(kind: str, tmp_path: Path) -> None:
    evaluate = Scripted(PEAK_AT_2)
    callback = CrestfallCallback(evaluate=evaluate)
    trainer = tiny_trl.trainer(kind, tmp_path, [callback])
    trainer.train()
    assert trainer.state.global_step == 5
    assert callback.decision is not None
    assert (callback.decision.action, callback.decision.target_step) == ("stop", 2)
    assert not equal(evaluate.seen[5], evaluate.seen[2])
    assert equal(tiny_trl.weights(trainer), evaluate.seen[2])
    assert tiny_trl.adam_steps(trainer) == {2}
    assert trainer.lr_scheduler.state_dict()["last_epoch"] == 2

    # The next campaign: its own directory, its own step 0 which is the peak, and Adam counts on from 2.
    again = Scripted([0.5, 0.6, 0.7, 0.6])
    callback._evaluate = again
    trainer.args.max_steps = 3
    trainer.train()
    assert equal(again.seen[0], evaluate.seen[2])
    assert callback.decision.target_step == 2
    assert tiny_trl.adam_steps(trainer) == {4}
    assert sorted(path.name for path in (tmp_path / "_crestfall").iterdir()) == ["train-00", "train-01"]


def test_rollback_inside_a_run(tmp_path: Path) -> None:
    evaluate = Scripted([0.1, 0.5, 0.2, 0.3, 0.2, 0.6, 0.5])
    callback = CrestfallCallback(control=EarlyStop(margin=2, then="go_on"), evaluate=evaluate)
    trainer = tiny_trl.trainer("GRPO", tmp_path, [], steps_per_generation=2, gradient_accumulation_steps=1)
    callback.attach(trainer)
    adam = {}
    evaluate_and_count = callback._observe

    def counted(args: Any, state: Any, *rest: Any) -> None:
        evaluate_and_count(args, state, *rest)
        step = state.global_step
        adam[step] = max(tiny_trl.adam_steps(trainer), default=0)
        if step == 3:  # rolled back to step 1: the completions that were sampled at step 2 are gone
            assert equal(tiny_trl.weights(trainer), evaluate.seen[1])
            assert trainer._buffered_inputs is None

    callback._observe = counted
    trainer.train()
    assert trainer.state.global_step == 6
    assert adam == {0: 0, 1: 1, 2: 2, 3: 1, 4: 2, 5: 3, 6: 4}
    # At the end of the budget the best of all is handed on: step 5, after three updates on the way to it.
    assert callback.decision is not None
    assert callback.decision.target_step == 5
    assert equal(tiny_trl.weights(trainer), evaluate.seen[5])
    assert tiny_trl.adam_steps(trainer) == {3}


def test_crest_goes_on_with_half_the_learning_rate(tmp_path: Path) -> None:
    callback = CrestfallCallback(control="crest", evaluate=Scripted([0.1, 0.5, 0.7, 0.2, 0.7, 0.2, 0.7]))
    trainer = tiny_trl.trainer("GRPO", tmp_path, [], lr_scheduler_type="linear")
    callback.attach(trainer)
    trainer.train()
    rates = [row["learning_rate"] for row in trainer.state.log_history if "learning_rate" in row]
    # The rate falls by a sixth of 1e-2 a step; after steps 3 and 5 back to that of step 2.
    sixths = [6, 5, 4, 4 / 2, 3 / 2, 4 / 4]
    assert rates == pytest.approx([1e-2 * left / 6 for left in sixths])


def test_stock_load_best_beside_it_does_not_restore_adam(tmp_path: Path) -> None:
    """Why the callback exists: the stock option puts back the peak's weights and leaves Adam at the end's."""
    from transformers import TrainerCallback

    class Stock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_evaluate = control.should_save = True

    def run(output: Path, callbacks: list[Any]) -> Any:
        options = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1, "max_steps": 4}
        best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_score", "save_only_model": False}
        trainer = tiny_trl.trainer("GRPO", output, [Stock(), *callbacks], **options, **best)

        def evaluate(*_: Any, **__: Any) -> dict[str, float]:
            metrics = {"eval_score": PEAK_AT_2[trainer.state.global_step]}
            trainer.control = trainer.callback_handler.on_evaluate(
                trainer.args, trainer.state, trainer.control, metrics
            )
            trainer._determine_best_metric(metrics, None)
            return metrics

        trainer._evaluate = evaluate
        trainer.train()
        return trainer

    peak = Scripted(PEAK_AT_2)
    stock = run(tmp_path / "stock", [])
    ours = run(tmp_path / "ours", [CrestfallCallback(evaluate=peak)])
    assert equal(tiny_trl.weights(stock), tiny_trl.weights(ours))
    assert equal(tiny_trl.weights(ours), peak.seen[2])
    assert tiny_trl.adam_steps(stock) == {4}
    assert tiny_trl.adam_steps(ours) == {2}


def test_evaluating_does_not_change_the_run(tmp_path: Path) -> None:
    ends = []
    for callbacks in ([CrestfallCallback("none", Scripted(PEAK_AT_2))], []):
        trainer = tiny_trl.trainer("GRPO", tmp_path, callbacks, max_steps=3)
        trainer.train()
        ends.append(tiny_trl.weights(trainer))
    assert equal(*ends)


def test_lora_takes_snapshots_of_the_adapter_alone(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    from crestfall.store import statetree

    policy = get_peft_model(tiny_trl.model(), LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    evaluate = Scripted(PEAK_AT_2)
    trainer = tiny_trl.trainer("GRPO", tmp_path, [CrestfallCallback(evaluate=evaluate)], policy)
    trainer.train()
    assert equal(tiny_trl.weights(trainer), evaluate.seen[2])
    assert not equal(evaluate.seen[5], evaluate.seen[2])
    assert tiny_trl.adam_steps(trainer) == {2}
    (snapshot,) = (tmp_path / "_crestfall" / "train-00" / "snapshots").iterdir()
    stored = statetree.unpack(statetree.read(snapshot / "state.safetensors"))
    assert all("lora_" in name for name in stored["model"])


def test_a_run_resumed_from_the_trainers_checkpoint(tmp_path: Path) -> None:
    saving = {"save_strategy": "steps", "save_steps": 1}
    first = CrestfallCallback(control=EarlyStop(margin=5), evaluate=Scripted(PEAK_AT_2))
    tiny_trl.trainer("GRPO", tmp_path, [first], max_steps=4, **saving).train()
    evaluate = Scripted(PEAK_AT_2)
    second = CrestfallCallback(evaluate=evaluate)
    trainer = tiny_trl.trainer("GRPO", tmp_path, [second], **saving)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert sorted(evaluate.seen) == [4, 5]
    assert second.decision is not None
    assert second.decision.target_step == 2  # a step that this process never saw
    assert tiny_trl.adam_steps(trainer) == {2}
    assert [path.name for path in (tmp_path / "_crestfall").iterdir()] == ["train-00"]


@pytest.mark.hf
def test_any_trainer_by_its_own_evaluation(tmp_path: Path) -> None:
    from transformers import Trainer, TrainingArguments

    class Falling(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(()))
            self.register_buffer("steps", torch.zeros(()))

        def forward(self, x: Any, labels: Any) -> dict[str, Any]:
            if self.training:
                self.steps += 1
            return {"loss": -self.w * x.mean(), "logits": self.w.expand_as(labels)}

    def train(metric: str) -> Any:
        data = [{"x": torch.ones(()), "labels": torch.ones(())}] * 64
        args = TrainingArguments(
            str(tmp_path), max_steps=10, per_device_train_batch_size=1, learning_rate=1.0, lr_scheduler_type="constant",
            eval_strategy="steps", eval_steps=2, eval_on_start=True, save_strategy="no", report_to=[], use_cpu=True,
            disable_tqdm=True,
        )  # fmt: skip
        callback = CrestfallCallback(control=EarlyStop(patience=2), metric=metric)
        trainer = Trainer(
            Falling(), args, train_dataset=data, eval_dataset=data[:2], callbacks=[callback],
            compute_metrics=lambda p: {"score": -abs(float(p.predictions.mean()) - 2.5)},  # best near step 2
        )  # fmt: skip
        trainer.train()
        return trainer, callback

    trainer, callback = train("eval_score")
    assert callback.decision is not None
    assert (callback.decision.target_step, trainer.state.global_step) == (2, 6)
    assert float(trainer.model.w.detach()) == pytest.approx(2.0, abs=1e-3)
    assert float(trainer.model.steps) == 2
    assert tiny_trl.adam_steps(trainer) == {2}
    with pytest.raises(InputError, match="no 'eval_scores'; it has eval_"):
        train("eval_scores")


@pytest.mark.slow
def test_two_processes_agree_and_both_go_back(tmp_path: Path) -> None:
    """DDP over gloo: the ranks' evaluations differ, rank 0's counts."""
    script = Path(__file__).with_name("ddp_trl.py")
    environment = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port(), "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(tmp_path)],
            env=environment | {"RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in ("0", "1")
    ]
    for process in processes:
        output, _ = process.communicate(timeout=600)  # two starved cores need more than 180
        assert process.returncode == 0, output
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first == {"world": 2, "steps": 5, "target": 2, "at_peak": True, "moved_since": True, "adam": [2]}


def _free_port() -> str:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="either `evaluate` or `metric`"):
        CrestfallCallback()
    with pytest.raises(ConfigError, match="every=0"):
        CrestfallCallback(metric="eval_reward", every=0)
