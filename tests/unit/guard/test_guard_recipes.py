"""The recipes for other trainers, on stand-ins with the methods and the order of calls that those have."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"
SCORES = {0: 0.2, 20: 0.5, 40: 0.7, 60: 0.3, 80: 0.1, 100: 0.05, 120: 0.05}
METRIC = "val-core/my_data/acc/mean@8"


def example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Verl:
    """What both of verl's trainers have. Keeps one checkpoint, as `max_actor_ckpt_to_keep=1` does."""

    def __init__(self, saved: Path) -> None:
        self.config = SimpleNamespace(trainer=SimpleNamespace(default_local_dir=str(saved)))
        self.saved, self.total_training_steps, self.trained = saved, 120, 0

    def _validate(self, merged: bool = False) -> dict[str, float]:
        return {METRIC: SCORES[self.global_steps]}

    def _save_checkpoint(self) -> None:
        import shutil

        for old in self.saved.glob("global_step_*"):
            shutil.rmtree(old)
        (self.saved / f"global_step_{self.global_steps}").mkdir(parents=True)
        (self.saved / f"global_step_{self.global_steps}" / "actor.pt").write_text(str(self.global_steps))


class V1(Verl):
    """trainer/ppo/v1/trainer_base.py, PPOTrainer.fit."""

    def on_validate_begin(self) -> None: ...

    def on_validate_end(self) -> None: ...

    def fit(self) -> None:
        self.global_steps = 0
        self.on_validate_begin()
        self._validate()
        self.on_validate_end()
        self.global_steps = 1
        while self.global_steps <= self.total_training_steps:
            is_last_step = self.global_steps >= self.total_training_steps
            self.trained += 1
            if is_last_step or self.global_steps % 20 == 0:
                self._save_checkpoint()
                self.on_validate_begin()
                self._validate()
                self.on_validate_end()
            self.global_steps += 1
            if is_last_step:
                return


class V0(Verl):
    """trainer/ppo/ray_trainer.py, RayPPOTrainer.fit: no hooks."""

    def fit(self) -> None:
        self.global_steps = 0
        self._validate()
        for self.global_steps in range(1, 121):
            is_last_step = self.global_steps >= self.total_training_steps
            self.trained += 1
            if self.global_steps % 20 == 0:
                self._save_checkpoint()
                self._validate()
            if is_last_step:
                return


@pytest.mark.parametrize("kind", [V1, V0])
def test_verl_ends_past_the_peak_and_keeps_its_checkpoint(kind: Any, tmp_path: Path) -> None:
    guarded = example("guard_verl").guarded(kind, metric=METRIC, n=800)
    trainer = guarded(tmp_path / "checkpoints")
    trainer.fit()
    assert trainer.trained <= 61
    assert trainer.guard.decision.target_step == 40
    assert not (tmp_path / "checkpoints" / "global_step_40").exists()  # verl's own clean-up has taken it
    assert (trainer.guard.checkpoint / "actor.pt").read_text() == "40"


def test_verl_says_which_metrics_there_are(tmp_path: Path) -> None:
    trainer = example("guard_verl").guarded(V1, metric="val-core/other")(tmp_path)
    with pytest.raises(KeyError, match="my_data"):
        trainer.fit()


def test_beside_a_run_of_prime_rl(tmp_path: Path) -> None:
    key, log = "eval/gsm8k/all/agent/avg@4", tmp_path / "metrics.jsonl"
    with log.open("w") as file:
        for step in range(0, 121, 20):
            (tmp_path / f"step_{step}").mkdir()
            (tmp_path / f"step_{step}" / "weights").write_text(str(step))
            file.write(json.dumps({"train/all/all/reward/mean": 0.4, "step": step + 1}) + "\n")
            file.write(
                json.dumps({key: SCORES[step], "eval/gsm8k/policy_version": float(step), "step": float(step)}) + "\n"
            )
    decision = example("guard_beside").follow(log, key, f"{tmp_path}/step_{{step}}", 800, patience=0.5)
    assert (decision.action, decision.target_step) == ("stop", 40)
    assert (log.with_suffix(".crestfall") / "kept" / "step-40" / "weights").read_text() == "40"


@pytest.mark.parametrize("name", ["guard_verl", "guard_beside"])
def test_they_run_as_they_stand(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [name])
    example(name).main()
    assert "go on from" in capsys.readouterr().out
