"""A transformers Trainer as a callback sees it: found, put in order, logged to, and made to forget what it sampled."""

from __future__ import annotations

import gc
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from crestfall.core.errors import CrestfallWarning, InputError
from crestfall.guard.state import GlobalRng

_BUFFERS: tuple[tuple[str, Any], ...] = (("_buffered_inputs", None), ("_step", 0), ("_last_loaded_step", -1))
"""What a TRL trainer (1.16) holds of completions sampled before, and of the weights that its vLLM engine has."""


def find_trainer(state: Any) -> Any:
    """The trainer whose `state` this is; None where it cannot be found. A callback's events do not name it."""
    for holder in gc.get_referrers(state):
        owners = gc.get_referrers(holder) if isinstance(holder, dict) else [holder]
        for owner in owners:
            if hasattr(owner, "callback_handler") and getattr(owner, "state", None) is state:
                return owner
    return None


def come_first(trainer: Any, callback: Any) -> None:
    """Let a callback see every event before the others, so that trackers and uploads at the end see what it put back.

    Before it comes what changes the state of a step itself: a reference model that follows the trained one. A new list:
    the trainer may be going through the old one.
    """
    handler = trainer.callback_handler
    others = [other for other in handler.callbacks if other is not callback]
    part_of_the_step = [other for other in others if type(other).__name__ == "SyncRefModelCallback"]
    handler.callbacks = [*part_of_the_step, callback, *(o for o in others if o not in part_of_the_step)]


def remembered(state: Any, now: Mapping[str, float] | None = None) -> Mapping[str, float]:
    """State of the step meter, kept with every checkpoint of the trainer (in trainer_state.json)."""
    if now is not None:
        state.stateful_callbacks["crestfall_pace"] = dict(now)
    found: Mapping[str, float] = (state.stateful_callbacks or {}).get("crestfall_pace", {})
    return found


def log(trainer: Any, state: Any, numbers: Mapping[str, float], words: Mapping[str, str]) -> None:
    """Into log_history, and through the trainer to its trackers; `words` into log_history alone."""
    if trainer is None:
        state.log_history.append({**numbers, "step": state.global_step})
    else:
        from transformers import Trainer

        # Not the trainer's own `log`: TRL's empties its running metrics there.
        Trainer.log(trainer, dict(numbers))
    state.log_history[-1].update(words)


def forget_rollouts(trainer: Any, args: Any) -> None:
    """Make a trainer sample anew: its buffered completions, and a vLLM engine's weights, are from before the rollback.

    Warns where that cannot be done.
    """
    samples = any(hasattr(args, name) for name in ("num_generations", "steps_per_generation", "max_completion_length"))
    known = trainer is not None and hasattr(trainer, "_buffered_inputs")
    if samples and not known:
        why = "is not at hand: call callback.attach(trainer)" if trainer is None else "keeps them under another name"
        warnings.warn(
            f"crestfall: the trainer may still train on completions from before the rollback; it {why}",
            CrestfallWarning,
            stacklevel=2,
        )
    for name, value in _BUFFERS:
        if trainer is not None and hasattr(trainer, name):
            setattr(trainer, name, value)


def saves_now(args: Any, state: Any, control: Any) -> bool:
    """Whether the trainer is about to save a checkpoint, which must not be ahead of the guard's disk."""
    strategy = str(getattr(args.save_strategy, "value", args.save_strategy))
    steps = getattr(state, "save_steps", 0) or 0
    due = strategy == "steps" and steps > 0 and state.global_step % steps == 0
    return bool(control.should_save) or due or (strategy != "no" and state.global_step >= state.max_steps)


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
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


def metric_in(metrics: Mapping[str, Any], metric: str) -> float | None:
    """A metric's value in what one evaluation reports; None where this evaluation is of another set.

    TRL reports the metrics of one of several evaluation sets under names without the set's: `eval_a_reward` is
    `eval_reward` beside `eval_a_runtime`.

    Raises:
        InputError: one of several sets, and the metric does not say which.
    """
    name = metric.removeprefix("eval_")
    sets = [
        key[5:-8] for key in metrics if key.startswith("eval_") and key.endswith("_runtime") and key != "eval_runtime"
    ]
    if metric in metrics or f"eval_{name}" in metrics:
        if sets and not any(name.startswith(f"{known}_") for known in sets):
            raise InputError(
                f"CrestfallCallback: there are several evaluation sets; say which: metric='eval_{sets[0]}_{name}'"
            )
        return float(metrics.get(metric, metrics.get(f"eval_{name}", math.nan)))
    for known in sets:
        if name.startswith(f"{known}_"):
            value = metrics.get(f"eval_{name.removeprefix(f'{known}_')}")
            return None if value is None else float(value)
    return None
