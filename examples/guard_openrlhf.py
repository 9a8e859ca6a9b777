"""A guard in OpenRLHF: decides at every evaluation, ends the run past its peak, and protects the peak's checkpoint.

    python examples/guard_openrlhf.py                                       what it does, on a stand-in trainer
    python examples/guard_openrlhf.py eval_default_pass1 800 --actor...     for `python -m openrlhf.cli.train_ppo_ray`

Read in November 2026: OpenRLHF 0.11.2, and its repository at commit db825a2 (flat option names). In
`trainer/ppo_trainer.py`, `PPOTrainer.fit` saves (`save_logs_and_checkpoints`), evaluates (`evaluate`) and calls
`save_best_checkpoint(eval_metrics, global_step, client_states)`; it ends where the sampler has no prompts left.
OpenRLHF itself keeps the best checkpoint, goes on to the end of its budget, and exports the last weights. It was not
run here: a test runs this on a stand-in with the same methods, and through Ray. Asynchronous training
(`--train.async_enable`) has another trainer: follow its logs instead (guard_beside.py).

The weights live in DeepSpeed's workers, so the guard only decides. Set `--ckpt.save_steps` to `--eval.steps`. Go on
from the peak with `go_back(...)`, which is printed, and `--ckpt.load_enable`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import crestfall


def guarded(
    trainer_class: type, *, metric: str, n: int | None = None, control: Any = "significant_fall", directory: str = ""
) -> type:
    """An OpenRLHF trainer class that looks at `metric` after every evaluation.

    Args:
        metric: a key of what `evaluate` returns. n: samples behind it all told (prompts x samples of each).
        directory: of the guard; by default `crestfall` beside the checkpoints.
    """

    class Guarded(trainer_class):  # type: ignore[misc]
        guard: crestfall.Guard | None = None

        def save_best_checkpoint(self, eval_metrics: Any, global_step: int, client_states: Any = None) -> None:
            super().save_best_checkpoint(eval_metrics, global_step, client_states)
            if metric not in (eval_metrics or {}):
                raise KeyError(f"the evaluation has no {metric!r}; it has {', '.join(eval_metrics or ())}")
            saved = str(self.args.ckpt.path if hasattr(self.args, "ckpt") else self.args.ckpt_path)
            if self.guard is None:
                pattern = f"{saved}/_actor/global_step{{step}}"
                where = directory or f"{saved}/crestfall"
                self.guard = crestfall.Guard(where, control=control, keep="best", checkpoints=pattern)
            decision = self.guard.observe(global_step, select=eval_metrics[metric], n=n)
            if self.guard.carry_out(decision):
                print(f"past the peak: {decision.reason}; go_back({saved!r}, {decision.target_step}) goes on from it")
                self.samples_generator.generate_samples = no_more

    return Guarded


def no_more(**options: Any) -> tuple[list[Any], float, int, bool]:
    """A sampler whose prompts are used up: rollouts, pass rate of the filter, prompts consumed, exhausted."""
    return [], 0.0, 0, True


def go_back(path: str | Path, step: int) -> Path:
    """Make DeepSpeed load the actor's checkpoint of a step when it is next started from `path`.

    The protected copy takes the place of a checkpoint that OpenRLHF has deleted. Raises FileNotFoundError without both.
    """
    actor, tag = Path(path) / "_actor", f"global_step{step}"
    kept = Path(path) / "crestfall" / "kept" / f"step-{step}" / tag
    if not (actor / tag).exists():
        if not kept.exists():
            raise FileNotFoundError(f"neither {actor / tag} nor {kept} is there")
        shutil.copytree(kept, actor / tag)
    (actor / "latest").write_text(tag)  # the file from which DeepSpeed knows what to load
    return actor / tag


def launch(metric: str, n: int) -> None:
    """OpenRLHF's own command, with the guarded trainer in place of its own."""
    import runpy

    import openrlhf.trainer.ppo_trainer as module  # type: ignore[import-not-found]
    import ray

    plain = module.PPOTrainer.__ray_metadata__.modified_class
    module.PPOTrainer = ray.remote(guarded(plain, metric=metric, n=n))
    runpy.run_module("openrlhf.cli.train_ppo_ray", run_name="__main__")


def main() -> None:
    if len(sys.argv) > 1:
        if not sys.argv[2:] or not sys.argv[2].isdigit():
            print("expected METRIC, how many graded samples are behind it, and OpenRLHF's own options", file=sys.stderr)
            raise SystemExit(2)
        metric, n, sys.argv[1:] = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
        launch(metric, n)
        return

    class StandIn:
        def __init__(self, saved: str) -> None:
            self.args = SimpleNamespace(ckpt_path=saved)
            self.samples_generator = SimpleNamespace(generate_samples=lambda: (["rollouts"], 1.0, 1, False))

        def save_best_checkpoint(self, eval_metrics: Any, global_step: int, client_states: Any = None) -> None: ...

        def fit(self) -> int:
            step = 0
            while self.samples_generator.generate_samples()[0]:
                step += 20
                Path(self.args.ckpt_path, "_actor", f"global_step{step}").mkdir(parents=True)
                self.save_best_checkpoint({"eval_default_pass1": {20: 0.5, 40: 0.7}.get(step, 0.2)}, step)
            return step

    ended = guarded(StandIn, metric="eval_default_pass1", n=800)(saved := tempfile.mkdtemp()).fit()
    print(f"ended at step {ended}; next time from {go_back(saved, 40).name}")


if __name__ == "__main__":
    main()
