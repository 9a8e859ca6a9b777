"""The step meter inside TRL's trainers: steps of one size, through accumulation, rollbacks and restarts."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
torch = pytest.importorskip("torch")

import tiny_trl  # noqa: E402
from test_trl_callback import _free_port  # noqa: E402

from crestfall import CrestfallCallback  # noqa: E402
from crestfall.core.errors import ConfigError, CrestfallWarning  # noqa: E402

pytestmark = [pytest.mark.trl, pytest.mark.filterwarnings("ignore:.*:FutureWarning")]
TARGET = 0.01


def flat(model: Any, step: int) -> float:
    return 0.5


def metered(directory: Path, kind: str = "GRPO", pace: Any = "kl", **options: Any) -> tuple[Any, CrestfallCallback]:
    given = {name: options.pop(name) for name in ("evaluate", "control") if name in options}
    callback = CrestfallCallback(**({"control": "none", "evaluate": flat} | given), pace=pace)
    return tiny_trl.trainer(kind, directory, [callback], **({"learning_rate": 1.0} | options)), callback


def rows(trainer: Any, name: str) -> list[float]:
    return [row[f"crestfall/{name}"] for row in trainer.state.log_history if f"crestfall/{name}" in row]


@pytest.mark.parametrize("kind", ["GRPO", "RLOO"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_steps_come_to_the_target_whatever_the_rate(kind: str, accumulate: int, tmp_path: Path) -> None:
    trainer, _ = metered(tmp_path, kind, gradient_accumulation_steps=accumulate)
    trainer.train()
    sizes, proposed = rows(trainer, "step_size"), rows(trainer, "step_proposed")
    assert len(sizes) == 6
    assert max(sizes) <= 2 * TARGET
    assert proposed[0] > 10 * TARGET  # what a rate of 1 does by itself
    assert rows(trainer, "pace")[0] == 1.0
    assert rows(trainer, "pace")[-1] < 0.1
    assert all(math.isfinite(float(p.detach().sum())) for p in trainer.model.parameters())
    assert "compute_loss" not in vars(trainer)  # the trainer is left as it was


def test_the_schedule_goes_on_undisturbed(tmp_path: Path) -> None:
    trainer, _ = metered(tmp_path)
    trainer.train()
    assert [row["learning_rate"] for row in trainer.state.log_history if "learning_rate" in row] == pytest.approx(
        [1 - i / 6 for i in range(6)]
    )


def test_what_it_measures_is_what_the_step_did(tmp_path: Path) -> None:
    """One step at a small rate, nothing pulled back: the size is the k3 estimate on the step's own completions."""
    trainer, _ = metered(tmp_path, max_steps=1, learning_rate=1e-3, num_generations=2)
    seen: list[Any] = []
    plain = type(trainer).compute_loss

    def noting(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append((inputs, logprobs(trainer, inputs)))
        return plain(self, model, inputs, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(trainer), "compute_loss", noting)
        trainer.train()
    (inputs, before), mask = seen[0], seen[0][0]["completion_mask"] > 0
    difference = (logprobs(trainer, inputs) - before)[mask].double()
    assert rows(trainer, "step_share") == [1.0]
    assert rows(trainer, "step_size") == [pytest.approx(float((difference.exp() - 1 - difference).mean()), rel=1e-3)]


def logprobs(trainer: Any, inputs: Any) -> Any:
    ids = torch.cat((inputs["prompt_ids"], inputs["completion_ids"]), dim=1)
    mask = torch.cat((inputs["prompt_mask"], inputs["completion_mask"]), dim=1)
    with torch.no_grad():
        model = trainer.model.eval()
        out = trainer._get_per_token_logps_and_entropies(model, ids, mask, inputs["completion_ids"].shape[1])[0]
        model.train()
    return out


def test_a_rollback_brings_back_the_pace(tmp_path: Path) -> None:
    scores = [0.1, 0.5, 0.2, 0.1, 0.1, 0.1, 0.1]
    control = {"name": "early_stop", "then": "go_on", "margin": 2}
    trainer, _ = metered(tmp_path, evaluate=lambda model, step: scores[step], control=control)
    trainer.train()
    paces = rows(trainer, "pace")  # of steps 1 to 6; rolled back to step 1 after 3 and 5
    assert paces[3] == paces[1]
    assert paces[5] == paces[1]


def test_a_resumed_run_goes_on_at_its_pace(tmp_path: Path) -> None:
    whole, _ = metered(tmp_path / "whole", save_strategy="steps", save_steps=3)
    whole.train()
    (tmp_path / "cut").mkdir()
    (tmp_path / "whole" / "checkpoint-3").rename(tmp_path / "cut" / "checkpoint-3")
    rest, _ = metered(tmp_path / "cut")
    with pytest.warns(CrestfallWarning, match="holds nothing of a guard's"):  # the pace is in the checkpoint
        rest.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-3"))
    assert rows(rest, "pace")[-3:] == pytest.approx(rows(whole, "pace")[-3:], rel=0.5)
    assert rows(rest, "pace")[3] < 0.1


def test_norm_needs_no_completions_and_kl_says_so_elsewhere(tmp_path: Path) -> None:
    from transformers import Trainer, TrainingArguments

    def trainer(pace: str) -> Any:
        rows = [{"input_ids": [3 + i % 20, 4, 5], "labels": [3 + i % 20, 4, 5]} for i in range(16)]
        args = TrainingArguments(
            str(tmp_path), max_steps=3, learning_rate=1.0, report_to=[], use_cpu=True, disable_tqdm=True,
            save_strategy="no", logging_steps=1,
        )  # fmt: skip
        callback = CrestfallCallback(control="none", evaluate=flat, pace=pace)
        return Trainer(model=tiny_trl.model(), args=args, train_dataset=rows, callbacks=[callback])

    with pytest.raises(ConfigError, match="a Trainer samples no completions to measure a step on; use pace='norm'"):
        trainer("kl").train()
    done = trainer("norm")
    done.train()
    assert max(rows(done, "step_size")) <= 0.004


def test_lora_alone_is_metered(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    policy = peft.get_peft_model(tiny_trl.model(), peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    trainer, _ = metered(tmp_path, policy=policy)
    trainer.train()
    assert max(rows(trainer, "step_size")) <= 2 * TARGET
    assert max(rows(trainer, "step_size")) > 0


@pytest.mark.slow
def test_two_processes_measure_and_pull_back_alike(tmp_path: Path) -> None:
    """DDP over gloo: each rank has completions of its own; the step is one."""
    script = Path(__file__).with_name("ddp_meter.py")
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
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first["world"] == 2
    assert len(first["measured"]) == 6
    assert max(step["step_size"] for step in first["measured"]) <= 2 * TARGET
    assert min(step["step_share"] for step in first["measured"]) < 1
