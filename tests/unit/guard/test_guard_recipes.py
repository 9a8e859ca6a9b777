"""The recipes for other trainers, on stand-ins with the methods and the order of calls that those have."""

import importlib.util
import json
import math
import os
import shutil
import sys
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
        return {METRIC: SCORES[self.global_steps - self.global_steps % 20]}

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
            if is_last_step or self.global_steps % 20 == 0:
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
            file.write(json.dumps({"inference/tokens_per_second": 9.0, "step": None, "time": 1.5 + step}) + "\n")
            file.write(
                json.dumps({key: SCORES[step], "eval/gsm8k/policy_version": float(step), "step": float(step)}) + "\n"
            )
    decision = example("guard_beside").follow(log, key, f"{tmp_path}/step_{{step}}", 800, patience=0.5)
    assert (decision.action, decision.target_step) == ("stop", 40)
    assert (log.with_suffix(".crestfall") / "kept" / "step-40" / "step_40" / "weights").read_text() == "40"


class OpenRLHF:
    """openrlhf 0.11.2, trainer/ppo_trainer.py, PPOTrainer: keeps one regular checkpoint and the best, as
    `--ckpt.max_num 1` does; `latest` names the last one saved."""

    def __init__(self, saved: Path, flat: bool = False) -> None:
        path = str(saved)
        self.args = SimpleNamespace(ckpt_path=path) if flat else SimpleNamespace(ckpt=SimpleNamespace(path=path))
        self.actor, self.batches, self.best = saved / "_actor", 12, -math.inf
        self.samples_generator = SimpleNamespace(generate_samples=self.generate_samples)
        self.closed = False

    def generate_samples(self, **options: Any) -> tuple[list[str], float, int, bool]:
        self.batches -= 1
        return ["rollouts"] * 4, 1.0, 4, self.batches <= 0

    def save(self, tag: str, replaces: str) -> None:
        for old in self.actor.glob(replaces):
            shutil.rmtree(old)
        (self.actor / tag).mkdir(parents=True)
        (self.actor / tag / "mp_rank_00_model_states.pt").write_text(tag)
        (self.actor / "latest").write_text(tag)

    def save_logs_and_checkpoints(self, global_step: int, logs_dict: Any = None, client_states: Any = None) -> None:
        self.save(f"global_step{global_step}", "global_step*")

    def evaluate(self, global_step: int, **options: Any) -> dict[str, float]:
        return {"eval_default_pass1": SCORES[global_step * 10], "eval_default_pass8": 0.9}

    def save_best_checkpoint(self, eval_metrics: Any, global_step: int, client_states: Any = None) -> None:
        if eval_metrics["eval_default_pass1"] > self.best:
            self.best = eval_metrics["eval_default_pass1"]
            self.save(f"best_global_step{global_step}", "best_*")

    def fit(self, global_step: int = 0) -> int:
        for _ in range(3):  # episodes
            while True:
                rollout_samples, _, _, is_exhausted = self.samples_generator.generate_samples(temperature=1.0)
                if not rollout_samples:
                    if is_exhausted:
                        break
                    continue
                global_step += 1
                self.save_logs_and_checkpoints(global_step, {}, {})
                if global_step % 2 == 0:
                    self.save_best_checkpoint(self.evaluate(global_step, temperature=0.6), global_step, {})
                if is_exhausted:
                    break
        self.closed = True  # its trackers
        return global_step


@pytest.mark.parametrize("flat", [False, True])
def test_openrlhf_ends_past_the_peak_in_its_own_way(flat: bool, tmp_path: Path) -> None:
    recipe = example("guard_openrlhf")
    trainer = recipe.guarded(OpenRLHF, metric="eval_default_pass1", n=800)(tmp_path, flat)
    assert trainer.fit() == 6
    assert trainer.closed
    assert trainer.guard.decision.target_step == 4
    assert (tmp_path / "_actor" / "latest").read_text() == "global_step6"
    assert not (tmp_path / "_actor" / "global_step4").exists()
    back = recipe.go_back(tmp_path, 4)
    assert (tmp_path / "_actor" / "latest").read_text() == back.name == "global_step4"
    assert (back / "mp_rank_00_model_states.pt").read_text() == "global_step4"
    with pytest.raises(FileNotFoundError, match="global_step2"):
        recipe.go_back(tmp_path, 2)


def test_openrlhf_says_which_metrics_there_are(tmp_path: Path) -> None:
    trainer = example("guard_openrlhf").guarded(OpenRLHF, metric="eval_default_pass2")(tmp_path)
    with pytest.raises(KeyError, match="eval_default_pass8"):
        trainer.fit()


@pytest.mark.slow
def test_openrlhf_s_trainer_is_a_ray_actor(tmp_path: Path) -> None:
    """As `launch` does it: the class inside OpenRLHF's actor class, guarded, made an actor again."""
    ray = pytest.importorskip("ray")
    plain = ray.remote(OpenRLHF).__ray_metadata__.modified_class
    actor = ray.remote(example("guard_openrlhf").guarded(plain, metric="eval_default_pass1", n=800))
    path = {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}}  # for this file
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, runtime_env=path)
    try:
        assert ray.get(actor.remote(tmp_path).fit.remote()) == 6
    finally:
        ray.shutdown()
    assert (tmp_path / "crestfall" / "kept" / "step-4").exists()


@pytest.mark.parametrize("name", ["guard_verl", "guard_openrlhf", "guard_beside"])
def test_they_run_as_they_stand(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [name])
    example(name).main()
    assert "from" in capsys.readouterr().out
