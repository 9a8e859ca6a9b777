"""A guard in verl: decides at every validation, ends the run past its peak, and protects the peak's checkpoint.

    python examples/guard_verl.py              what it does, on a stand-in trainer
    guarded(get_trainer_cls("sync"), metric="val-core/my_data/acc/mean@8", n=800)      in a launcher of your own

Read in November 2026: verl's `trainer/ppo/v1/trainer_base.py` at commit 39574b5 and in verl 0.9.1 (`PPOTrainer.fit`:
save, then `on_validate_begin`, `_validate`, `on_validate_end`), and `trainer/ppo/ray_trainer.py`, whose `fit` calls
`_validate` and `_save_checkpoint` alone, and takes one step more before it ends. verl is not imported here, and this
was not run inside it: a test runs it on stand-ins with the same methods.

The weights live in workers that this process does not hold, so the guard only decides. Set `trainer.save_freq` to
`trainer.test_freq`. Go on from the peak with `trainer.resume_mode=resume_path trainer.resume_from_path=<the checkpoint
that is printed>`.
"""

from __future__ import annotations

import tempfile
from typing import Any

import crestfall


def guarded(
    trainer_class: type, *, metric: str, n: int | None = None, control: Any = "significant_fall", directory: str = ""
) -> type:
    """A verl trainer class that looks at `metric` after every validation.

    Args:
        metric: a key of what `_validate` returns. n: samples behind it all told (problems x samples of each).
        directory: of the guard; by default `crestfall` beside the checkpoints.
    """

    class Guarded(trainer_class):  # type: ignore[misc]
        guard: crestfall.Guard | None = None
        _validated: dict[str, Any] | None = None

        def _validate(self, *args: Any, **kwargs: Any) -> Any:
            self._validated = super()._validate(*args, **kwargs)
            if not hasattr(super(), "on_validate_end"):
                self._decide()
            return self._validated

        def on_validate_end(self) -> None:
            super().on_validate_end()
            self._decide()

        def _decide(self) -> None:
            if self.guard is not None and self.guard.decision.action == "stop":
                return  # the one step that a loop takes before it ends
            if not self._validated or metric not in self._validated:
                raise KeyError(f"validation has no {metric!r}; it has {', '.join(self._validated or ())}")
            if self.guard is None:
                saved = self.config.trainer.default_local_dir
                where = directory or f"{saved}/crestfall"
                pattern = f"{saved}/global_step_{{step}}"
                self.guard = crestfall.Guard(where, control=control, keep="best", checkpoints=pattern)
            score = self._validated[metric]
            decision = self.guard.observe(self.global_steps, select=score, n=n)
            if self.guard.carry_out(decision):
                print(f"past the peak: {decision.reason}; go on from {self.guard.checkpoint}")
                # Both of verl's loops end where the step reaches this number.
                self.total_training_steps = self.global_steps

    Guarded.__name__ = f"Guarded{trainer_class.__name__}"
    return Guarded


def main() -> None:
    from types import SimpleNamespace

    class StandIn:
        def __init__(self, saved: str) -> None:
            self.config = SimpleNamespace(trainer=SimpleNamespace(default_local_dir=saved))
            self.total_training_steps = 120

        def _validate(self) -> dict[str, float]:
            scores = {0: 0.2, 20: 0.5, 40: 0.7, 60: 0.3, 80: 0.1, 100: 0.05, 120: 0.05}
            return {"val-core/my_data/acc/mean@8": scores[self.global_steps]}

        def on_validate_end(self) -> None: ...

        def fit(self) -> None:
            self.global_steps = 0
            while self.global_steps <= self.total_training_steps:
                if self.global_steps % 20 == 0:
                    self._validate()
                    self.on_validate_end()
                self.global_steps += 1

    trainer = guarded(StandIn, metric="val-core/my_data/acc/mean@8", n=800)(tempfile.mkdtemp())
    trainer.fit()
    print(f"ended at step {trainer.global_steps - 1}")


if __name__ == "__main__":
    main()
