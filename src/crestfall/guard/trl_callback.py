"""A callback for TRL's GRPOTrainer and RLOOTrainer and every other transformers Trainer: stop, and back to the peak.

    callback = CrestfallCallback(control="early_stop", evaluate=CodeEvaluation(problems, tokenizer))
    callback.attach(trainer)
    trainer.train()              # ends with the weights, the optimizer and the scheduler of the peak
    trainer.save_model()

`load_best_model_at_end` puts back weights alone: what is trained further from there moves on with the momenta of the
collapse.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from crestfall.control.base import Controller
from crestfall.control.pace import Pace
from crestfall.core.errors import ConfigError, CrestfallWarning, InputError, MissingExtraError
from crestfall.core.signals import signals_in
from crestfall.core.types import Decision, Evaluation
from crestfall.guard.average import WeightAverage
from crestfall.guard.guard import Guard, Notify
from crestfall.guard.ranks import decided_by_first, detect
from crestfall.guard.scores import has_binomial_noise
from crestfall.guard.state import Schedule
from crestfall.guard.trainer_link import (
    average_in_checkpoint,
    come_first,
    direction,
    directory_for,
    find_trainer,
    forget_rollouts,
    log,
    metric_in,
    named,
    remembered,
    saves_now,
    say_averages,
    undisturbed,
)
from crestfall.guard.trainer_meter import TrainerMeter
from crestfall.guard.trainer_state import TrainerState, refuse_sharded

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
_OWN = "crestfall/"


class CrestfallCallback(TrainerCallback):  # type: ignore[misc]
    """Guards every `train()` of a trainer; see `crestfall.Guard`.

    Args:
        control: a controller: its name, `{"name": ..., option: ...}` or an object.
        evaluate: the evaluation to control by, made by the callback itself at step 0, then every `every` steps, and
            after the last one.
        every: optimizer steps from one evaluation to the next. Patience counts evaluations.
        metric: instead of `evaluate`, the key of the trainer's own evaluation (`eval_reward`, or `reward`) to control
            by; with several evaluation sets `eval_NAME_reward`.
        n: the `n` of `Guard.observe`, where `evaluate` does not return its own: samples behind a mean in all, samples
            of each problem behind counts. For controllers that use the noise of a score.
        greater_is_better: whether a larger score is better. None: True for `evaluate`; for a metric its name decides
            (`eval_loss`: False), and an unclear name is an error.
        directory: where observations and snapshots go, one subdirectory per `train()`; by default `_crestfall` in the
            trainer's output directory.
        keep: `snapshots` puts the peak back; `best` only decides, saves the trainer's own checkpoint at every new best
            and protects it (for DeepSpeed, FSDP, or anything else whose state cannot be captured).
        hand_on: `weights` of the step that the controller names, or the `mean` of all weights up to it, or their
            exponential average with `ema_decay`.
        pace: keeps the updates at one size whatever the learning rate is, as `crestfall.StepMeter` does: `kl` (GRPO and
            RLOO: measured on the completions that a step learns from), `norm` (any trainer), or their options.
        schedule, max_rollbacks, in_memory, max_snapshots, notify: as for the guard.
    """

    def __init__(
        self,
        control: str | Mapping[str, Any] | Controller = "early_stop",
        evaluate: Evaluate | None = None,
        *,
        every: int = 1,
        metric: str | None = None,
        n: int | None = None,
        greater_is_better: bool | None = None,
        directory: str | Path | None = None,
        keep: Literal["snapshots", "best"] = "snapshots",
        hand_on: Literal["weights", "mean", "ema"] = "weights",
        ema_decay: float = 0.8,
        pace: str | Mapping[str, Any] | Pace | None = None,
        schedule: Schedule = "back",
        max_rollbacks: int = 10,
        in_memory: bool = True,
        max_snapshots: int = 3,
        notify: Sequence[Notify] = (),
    ) -> None:
        if (evaluate is None) == (metric is None):
            raise ConfigError("CrestfallCallback: give either `evaluate` or `metric`")
        if every < 1:
            raise ConfigError(f"CrestfallCallback: every={every}; expected at least 1")
        if hand_on not in ("weights", "mean", "ema") or (hand_on != "weights" and keep == "best"):
            raise ConfigError(
                f"CrestfallCallback: hand_on={hand_on!r}; expected 'weights', or 'mean' or 'ema' without keep='best'"
            )
        self._evaluate, self._every, self._metric, self._n = evaluate, every, metric, n
        self._greater, self._keep, self._schedule = greater_is_better, keep, schedule
        self._decay = {"weights": 0.0, "mean": None, "ema": ema_decay}[hand_on]
        self._options: dict[str, Any] = {
            "control": control,
            "in_memory": in_memory,
            "max_snapshots": max_snapshots,
            "max_rollbacks": max_rollbacks,
            "notify": notify,
        }
        self._directory, self._pace = directory, pace
        self._meter: TrainerMeter | None = None
        self._optimizer: Any = None
        self._trainer: Any = None
        self._live: TrainerState | None = None
        self._average: WeightAverage | None = None
        self._training = False
        self._signals: dict[str, float] = {}
        self._measured: dict[str, float] = {}
        self._evaluated: set[str] = set()
        self._stop: Decision | None = None
        self._observed: int | None = None
        self.guard: Guard | None = None
        self.decision: Decision | None = None
        """Last decision of the last `train()`; its `target_step` is the step of the final weights."""
        self.checkpoint: Path | None = None
        """With `keep="best"`: the trainer's checkpoint to continue from."""
        if metric is not None and n is not None and not has_binomial_noise(metric):
            raise ConfigError(f"CrestfallCallback: {metric!r} is not a share of samples, which n needs: leave n out")

    def attach(self, trainer: Any) -> None:
        """Add the callback to a trainer, in front of its other callbacks. `callbacks=[callback]` does the same."""
        self._trainer = trainer
        if self not in trainer.callback_handler.callbacks:
            trainer.add_callback(self)
        come_first(trainer, self)

    # --- the trainer's events -----------------------------------------------------------------------------------------

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._find(state)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._find(state)
        larger = direction(self._metric, self._greater, args)
        if self._metric is not None and named(args.eval_strategy) == "no":
            raise ConfigError(
                f"CrestfallCallback(metric={self._metric!r}): the trainer never evaluates; set eval_strategy='steps' "
                "and eval_steps, or give the callback `evaluate`"
            )
        if self.guard is not None:
            self.guard.close()
        resumed = state.global_step > 0
        say_averages(self._trainer)
        self._optimizer = kwargs["optimizer"]
        self._measure(state, self._optimizer)
        chosen = decided_by_first(detect(), lambda: {"directory": str(directory_for(self._directory, args, resumed))})
        self.guard = Guard(chosen["directory"], greater_is_better=larger, **self._options, **self._state(args, kwargs))
        self._signals, self._measured, self._evaluated, self._stop = {}, {}, set(), None
        self.decision, self.checkpoint, self._training = None, None, True
        # The step that a run resumes from has been observed before; what came after it is gone and will be observed
        # anew.
        last = self.guard.last_step
        self._observed = state.global_step if last is not None and last >= state.global_step else None
        if self._average is not None and not (resumed and average_in_checkpoint(self._average, args, state)):
            self._average.update()
        if self._evaluate is not None:
            self._look(args, state, control, kwargs["model"])

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._live is not None:
            self._live.trained.note_unfrozen()
            if not self._live.finite() and self._stop is None:
                self._leave(args, state, control)
        if self._evaluated and self._observed is None:
            self._refuse_missing_metric()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.guard is not None:
            self.guard.check_rates()
        if self._meter is not None:
            self._meter.before()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._meter is not None:
            self._measured = self._meter.after()
            remembered(state, self._meter.meter.state_dict())

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        rows = {key: value for key, value in (logs or {}).items() if not key.startswith(("eval_", _OWN))}
        self._signals |= {name: float(rows[key]) for name, key in signals_in(rows).items()}
        if logs is not None and "loss" in rows:  # for the trackers, which come later; log_history has its own copy
            own = {f"{_OWN}{name}": value for name, value in self._measured.items()}
            logs.update(own)
            state.log_history[-1].update(own)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.guard is None:
            return
        if self._average is not None:
            self._average.update()
        last = state.global_step >= state.max_steps
        broken = self._live is not None and not self._live.finite()
        if self._evaluate is not None and (broken or last or state.global_step % self._every == 0):
            self._look(args, state, control, kwargs["model"], broken=broken)
        elif broken:
            self._observe(args, state, control, math.nan)
        elif last and self._metric is not None and named(args.eval_strategy) == "steps":
            control.should_evaluate = True
        if saves_now(args, state, control):
            self.guard.flush()

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Mapping[str, float] | None = None, **kwargs: Any
    ) -> None:
        if self._metric is None or not self._training:
            return
        value = metric_in(metrics or {}, self._metric)
        if value is not None:
            self._observe(args, state, control, value)
            return
        # Another of several evaluation sets, perhaps; none has it: the next step says so.
        self._evaluated |= {key for key in metrics or {} if key.startswith("eval_")}

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._average is not None and state.is_world_process_zero:
            average_in_checkpoint(self._average, args, state, save=True)
        if self._keep == "best" and self.guard is not None and self.guard.best_score is not None:
            step, value = self.guard.best_score
            path = Path(args.output_dir) / f"checkpoint-{step}"
            if path.exists():  # the trainer's own clean-up leaves alone what it takes for its best
                state.best_model_checkpoint, state.best_global_step, state.best_metric = str(path), step, value

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # Here and not where it was decided: `load_best_model_at_end` overwrites the weights in between.
        if self.guard is None or not self._training:
            return
        if self._evaluate is not None and not args.load_best_model_at_end:
            self._look(args, state, control, kwargs["model"])  # another callback may have ended training
        self._training = False
        if self._meter is not None:
            self._meter.close()
        if self.guard.last_step is None:
            why = f"no evaluation had {self._metric!r}" if self._evaluated else "nothing was evaluated"
            warnings.warn(f"crestfall: {why}: the last step is kept", CrestfallWarning, stacklevel=2)
        else:
            self.decision = self._stop or self.guard.finish()
            self.guard.carry_out(self.decision)
            self.checkpoint = self.guard.checkpoint
            self._log(state, {f"{_OWN}handed_on_step": float(self.decision.target_step or 0)}, self.decision)
        self.guard.close()

    # --- how ----------------------------------------------------------------------------------------------------------

    def _find(self, state: Any) -> None:
        if self._trainer is None or self._trainer.state is not state:
            self._trainer = find_trainer(state) or self._trainer
        if self._trainer is not None:
            come_first(self._trainer, self)

    def _measure(self, state: Any, optimizer: Any) -> None:
        """Put the step meter into the trainer, at the pace where a checkpoint left it."""
        if self._meter is not None:
            self._meter.close()
        self._meter = None
        if self._pace is None:
            return
        refuse_sharded("the step meter measures and pulls back whole weights")
        if self._trainer is None:
            raise ConfigError("CrestfallCallback(pace=...): the trainer is not known: call callback.attach(trainer)")
        self._meter = TrainerMeter(self._trainer, optimizer, self._pace)
        if (kept := remembered(state)) and state.global_step > 0:
            self._meter.meter.load_state_dict(kept)

    def _state(self, args: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The guard's arguments that say what is kept."""
        self._live = self._average = None
        if self._keep == "best":
            return {"keep": "best", "checkpoints": f"{args.output_dir}/checkpoint-{{step}}"}
        refuse_sharded()
        model = kwargs["model"]
        if self._decay != 0.0:
            self._average = WeightAverage(model, self._decay)
        meter = None if self._meter is None else self._meter.meter
        parts = self._optimizer, kwargs["lr_scheduler"]
        follows = getattr(args, "sync_ref_model", False)
        reference = getattr(self._trainer, "ref_model", None) if follows else None
        self._live = TrainerState(model, *parts, self._schedule, self._average, meter, reference)
        return {"state": self._live, "hand_on": self._average}

    def _look(self, args: Any, state: Any, control: Any, model: Any, *, broken: bool = False) -> None:
        assert self._evaluate is not None
        if not self._is_news(state.global_step):
            return
        score: Score | None = math.nan  # weights that are not finite have no score, and cannot be sampled from
        if not broken:
            # A schedule-free optimizer has other weights for evaluations; the trainer goes back to those of training.
            getattr(self._optimizer, "eval", bool)()
            with undisturbed(model):
                score = self._evaluate(model, state.global_step)
        usable = decided_by_first(detect(), lambda: {"usable": score is not None})["usable"]
        if usable:
            # A rank that has nothing while rank 0 has a score still takes part: what it passes is not looked at.
            self._observe(args, state, control, 0.0 if score is None else score)

    def _observe(self, args: Any, state: Any, control: Any, score: Score) -> None:
        assert self.guard is not None
        step = state.global_step
        if not self._is_news(step):
            return
        self._observed = step
        seen = dict(score) if isinstance(score, Mapping) else {"select": score}
        if "select" not in seen or "step" in seen:
            raise InputError(
                f"CrestfallCallback: evaluate returned {{{', '.join(map(repr, seen))}}}: a mapping holds arguments of "
                "Guard.observe, the score under 'select', and no step"
            )
        if self._n is not None and not isinstance(score, Evaluation):
            seen = {"n": self._n, **seen}
        # The last row that the trainer logged: it logs a step after this event, so as a rule that of the step before.
        decision = self.guard.observe(step, **(self._signals | self._measured | seen))
        if decision.action == "stop" or (decision.action == "rollback" and self._keep == "best"):
            self._stop = decision
            control.should_training_stop = True
        elif decision.action == "rollback" or decision.changes_training:
            self.guard.carry_out(decision)
            if decision.action == "rollback" or decision.average:
                forget_rollouts(self._trainer, args)
        best = self.guard.best_score
        if (
            self._keep == "best"
            and decided_by_first(detect(), lambda: {"best": best is not None and best[0] == step})["best"]
        ):
            control.should_save = True
        self._log_observation(state, decision)

    def _leave(self, args: Any, state: Any, control: Any) -> None:
        """Weights became NaN after they were looked at: away from them before the next step samples with them."""
        assert self.guard is not None
        if self.guard.last_step is None:
            return
        decision = self.guard.observe(max(state.global_step, self.guard.last_step), select=math.nan)
        self.guard.carry_out(decision)
        forget_rollouts(self._trainer, args)
        if decision.action == "stop":
            self._stop = decision
            control.should_training_stop = True
        self._log_observation(state, decision)

    def _log_observation(self, state: Any, decision: Decision) -> None:
        assert self.guard is not None
        if self.guard.best_score is None or self.guard.last_score is None:
            return  # not rank 0
        step, value = self.guard.best_score
        rows = {"select": self.guard.last_score, "best": value, "best_step": float(step)}
        rows["learning_rate_scale"] = self.guard.learning_rate_scale
        if decision.action != "continue":
            rows["rollback_to" if decision.action == "rollback" else "stop_at"] = float(decision.target_step or 0)
        self._log(state, {f"{_OWN}{name}": number for name, number in rows.items()}, decision)

    def _log(self, state: Any, numbers: Mapping[str, float], decision: Decision) -> None:
        if state.is_world_process_zero:
            words = {f"{_OWN}decision": decision.action, f"{_OWN}reason": decision.reason}
            words |= {f"{_OWN}changes": decision.changes} if decision.changes else {}
            log(self._trainer, state, numbers, words if decision.reason else {})

    def _is_news(self, step: int) -> bool:
        return self._stop is None and (self._observed is None or step > self._observed)

    def _refuse_missing_metric(self) -> None:
        raise InputError(
            f"CrestfallCallback: the evaluation has no {self._metric!r}; it has {', '.join(sorted(self._evaluated))}"
        )
