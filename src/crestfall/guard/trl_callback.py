"""A callback for TRL's GRPOTrainer and RLOOTrainer and every other transformers Trainer: stop, and back to the peak.

    callback = CrestfallCallback(control="early_stop", evaluate=CodeEvaluation(problems, tokenizer))
    callback.attach(trainer)
    trainer.train()              # ends with the weights, the optimizer and the scheduler of the peak
    trainer.save_model()

`load_best_model_at_end` puts back weights alone: what is trained further from there moves on with the momenta of the
collapse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crestfall.control.base import Controller
from crestfall.core.errors import ConfigError, InputError, MissingExtraError
from crestfall.core.signals import signals_in
from crestfall.core.types import Decision, Evaluation
from crestfall.guard.guard import Guard, Notify
from crestfall.guard.ranks import decided_by_first, detect
from crestfall.guard.state import GlobalRng
from crestfall.guard.trainer_state import TrainerState, forget_rollouts, refuse_sharded

try:
    from transformers import TrainerCallback
except ImportError:
    raise MissingExtraError("transformers", "hf") from None

Score = Evaluation | float | Mapping[str, Any]
Evaluate = Callable[[Any, int], Score | None]
"""(model, step) -> the score on problems that only the controller sees; as a mapping: arguments of `Guard.observe`;
None: the evaluation failed and says nothing.

Called on every rank, in evaluation mode and without gradients; rank 0's answer counts.
"""


class CrestfallCallback(TrainerCallback):  # type: ignore[misc]
    """Guards every `train()` of a trainer; see `crestfall.Guard`.

    Args:
        control: a controller: its name, `{"name": ..., option: ...}` or an object.
        evaluate: the evaluation to control by, made by the callback itself at step 0 and then every `every` steps.
        every: optimizer steps from one evaluation to the next.
        metric: instead of `evaluate`, the key of the trainer's own evaluation (`eval_reward`) to control by.
        directory: where observations and snapshots go, one subdirectory per `train()`; by default
            `crestfall` in the trainer's output directory.
        in_memory, max_snapshots, notify: as for the guard.
    """

    def __init__(
        self,
        control: str | Mapping[str, Any] | Controller = "early_stop",
        evaluate: Evaluate | None = None,
        *,
        every: int = 1,
        metric: str | None = None,
        directory: str | Path | None = None,
        in_memory: bool = True,
        max_snapshots: int = 3,
        notify: Sequence[Notify] = (),
    ) -> None:
        if (evaluate is None) == (metric is None):
            raise ConfigError("CrestfallCallback: give either `evaluate` or `metric`")
        if every < 1:
            raise ConfigError(f"CrestfallCallback: every={every}; at least 1")
        self._evaluate, self._every, self._metric = evaluate, every, metric
        self._options: dict[str, Any] = {
            "control": control,
            "in_memory": in_memory,
            "max_snapshots": max_snapshots,
            "notify": notify,
        }
        self._directory = directory
        self._trainer: Any = None
        self._signals: dict[str, float] = {}
        self._stop: Decision | None = None
        self._observed: int | None = None
        self.guard: Guard | None = None
        self.decision: Decision | None = None
        """What the last `train()` ended with: its `target_step` is the step that the weights are of."""

    def attach(self, trainer: Any) -> None:
        """Add the callback to a trainer and know it: needed for rollbacks inside a run of a TRL trainer, which holds
        completions (and with vLLM weights) that are older than the rollback."""
        self._trainer = trainer
        if self not in trainer.callback_handler.callbacks:
            trainer.add_callback(self)

    # --- the trainer's events -----------------------------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        refuse_sharded()
        if self.guard is not None:
            self.guard.close()
        root = Path(self._directory) if self._directory is not None else Path(args.output_dir) / "crestfall"
        resumed = state.global_step > 0
        chosen = decided_by_first(detect(), lambda: {"directory": str(_subdirectory(root, resumed))})
        live = TrainerState(kwargs["model"], kwargs["optimizer"], kwargs["lr_scheduler"])
        self.guard = Guard(
            chosen["directory"],
            capture=live.capture,
            restore=live.restore,
            scale_learning_rate=live.scale_learning_rate,
            **self._options,
        )
        self._signals, self._stop, self.decision = {}, None, None
        # The step that a run resumes from has been observed before; what came after it is gone and will be observed
        # anew.
        last = self.guard.last_step
        self._observed = state.global_step if last is not None and last >= state.global_step else None
        if self._evaluate is not None:
            self._look(state.global_step, control, kwargs["model"])

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        rows = {key: value for key, value in (logs or {}).items() if not key.startswith("eval_")}
        self._signals |= {name: float(rows[key]) for name, key in signals_in(rows).items()}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._evaluate is not None and state.global_step % self._every == 0:
            self._look(state.global_step, control, kwargs["model"])

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Mapping[str, float] | None = None, **kwargs: Any
    ) -> None:
        if self._metric is None or self.guard is None:
            return
        if self._metric not in (metrics or {}):
            raise InputError(
                f"CrestfallCallback: the evaluation has no {self._metric!r}; it has {', '.join(metrics or ())}"
            )
        self._observe(state.global_step, control, (metrics or {})[self._metric])

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # Here and not where it was decided: `load_best_model_at_end` overwrites the weights in between.
        if self.guard is None:
            return
        if self.guard.last_step is not None:
            self.decision = self._stop or self.guard.finish()
            self.guard.carry_out(self.decision)
        self.guard.close()

    # --- how ----------------------------------------------------------------------------------------------------------

    def _look(self, step: int, control: Any, model: Any) -> None:
        assert self._evaluate is not None
        if not self._is_news(step):
            return
        with _undisturbed(model):
            score = self._evaluate(model, step)
        usable = decided_by_first(detect(), lambda: {"usable": score is not None})["usable"]
        if usable:
            # A rank that has nothing while rank 0 has a score still takes part: what it passes is not looked at.
            self._observe(step, control, 0.0 if score is None else score)

    def _observe(self, step: int, control: Any, score: Score) -> None:
        assert self.guard is not None
        if not self._is_news(step):
            return
        self._observed = step
        seen = dict(score) if isinstance(score, Mapping) else {"select": score}
        # The last row that the trainer logged: it logs a step after this event, so as a rule that of the step before.
        decision = self.guard.observe(step, **(self._signals | seen))
        if decision.action == "stop":
            self._stop = decision
            control.should_training_stop = True
        elif decision.action == "rollback":
            self.guard.carry_out(decision)
            forget_rollouts(self._trainer)

    def _is_news(self, step: int) -> bool:
        return self._stop is None and (self._observed is None or step > self._observed)


def _subdirectory(root: Path, resumed: bool) -> Path:
    """`train-00`, `train-01` ...: the next one for a fresh `train()`, the last one where it was resumed from a
    checkpoint."""
    numbers = [int(path.name[6:]) for path in root.glob("train-*") if path.name[6:].isdigit()]
    last = max(numbers, default=-1)
    return root / f"train-{last if resumed and numbers else last + 1:02d}"


@contextmanager
def _undisturbed(model: Any) -> Iterator[None]:
    """Evaluation mode, no gradients, and afterwards the random numbers as if nobody had evaluated: how often a run is
    looked at must not change where it goes."""
    import torch

    rng, training = GlobalRng(), model.training
    before = rng.state_dict()
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
        rng.load_state_dict(before)
